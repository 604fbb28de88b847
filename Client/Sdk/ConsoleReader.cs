using System.Diagnostics;
using System.Runtime.CompilerServices;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Client;

/// <summary>A place in a VM's console: offsets count from the boot that the epoch names. The default is the oldest byte kept.</summary>
/// <param name="BootEpoch">0: the present boot, whichever it is.</param>
/// <param name="Epoch">The epoch of the last segment that was read: with it a reader that comes back is told of what was rolled back meanwhile. 0: none was.</param>
public readonly record struct ConsolePosition(long BootEpoch, long Offset, long Epoch = 0);

/// <summary>Follows a console over migrations: asks the silo that owns the VM, refuses what a stale copy says, and goes on at the offset it has.</summary>
internal sealed class ConsoleReader
{
    private const int MaxRead = 64 * 1024;
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(20);

    private readonly GodwitClient _client;
    private readonly string _vm;
    private readonly HostCalls _hosts;

    public ConsoleReader(GodwitClient client, string vm)
    {
        _client = client;
        _vm = vm;
        _hosts = new HostCalls(client, vm);
    }

    public async IAsyncEnumerable<ConsoleSegment> ReadAsync(ConsolePosition from, bool follow, [EnumeratorCancellation] CancellationToken cancellation)
    {
        var (boot, offset) = (from.BootEpoch, from.Offset);
        var epoch = from.Epoch;
        var voidUpTo = default(long?);
        while (true)
        {
            var segment = await AskAsync(offset, epoch, follow ? CallLimits.WatchWait : TimeSpan.Zero, cancellation);
            if (segment is null)
            {
                yield break;
            }

            var before = epoch;
            epoch = segment.Epoch;
            if (boot != 0 && segment.BootEpoch != boot && offset != 0)
            {
                // Started anew: its console begins at 0 again.
                (boot, offset, voidUpTo) = (segment.BootEpoch, 0, null);
                continue;
            }

            if (before != 0 && segment.Rollbacks.Where(r => r.Epoch > before).Select(r => (long?)r.Offset).Min() is { } back && back < offset)
            {
                // The guest went back to a checkpoint: what was given from there on is void, and it is read again from there.
                (voidUpTo, offset) = (Math.Max(voidUpTo ?? 0, offset), back);
                continue;
            }

            boot = segment.BootEpoch;
            if (segment.Bytes.Length > 0)
            {
                yield return voidUpTo is null ? segment : segment with { VoidUpTo = voidUpTo };
                voidUpTo = null;
                offset = segment.Offset + segment.Bytes.Length;
            }
            else if (segment.Ended || !follow)
            {
                yield break;
            }
        }
    }

    /// <summary>The owner's answer; null where the VM is stopped and its console gone with its silo.</summary>
    private async Task<ConsoleSegment?> AskAsync(long offset, long epoch, TimeSpan wait, CancellationToken cancellation)
    {
        var since = Stopwatch.GetTimestamp();
        using var pause = new PeriodicTimer(_pause);
        while (true)
        {
            var location = await _hosts.LocateAsync(cancellation);
            if (location.SiloAddress is not { } address)
            {
                throw new GodwitException(ClusterError.WrongState, $"VM \"{_vm}\" was never started: it has no console.");
            }

            if (location is { Owned: false, SiloAlive: false })
            {
                return null;
            }

            if (location.SiloAlive && await TryAskAsync(address, offset, wait, cancellation) is { } segment && segment.Epoch >= epoch)
            {
                return segment;
            }

            if (!location.Owned)
            {
                return null;
            }

            if (!location.SiloAlive && (await _client.Vm(_vm).ShowAsync(cancellation)).State == VmState.Lost)
            {
                throw new GodwitException(ClusterError.WrongState, $"VM \"{_vm}\" is lost: its silo {location.SiloName} died; start it again.");
            }

            if (Stopwatch.GetElapsedTime(since) > _patience)
            {
                throw new GodwitException(ClusterError.Unavailable, $"Silo {location.SiloName} does not show the console of VM \"{_vm}\".");
            }

            await pause.WaitForNextTickAsync(cancellation);
        }
    }

    /// <summary>Null where the VM is not there (any more) or the silo does not answer.</summary>
    private async Task<ConsoleSegment?> TryAskAsync(string address, long offset, TimeSpan wait, CancellationToken cancellation)
    {
        try
        {
            return await _client.Calls.OnceAsync(g => g.GetGrain<IHostGrain>(address).ReadConsole(_vm, offset, MaxRead, wait), cancellation);
        }
        catch (GodwitException e) when (e.Error is ClusterError.Moved or ClusterError.Unavailable)
        {
            return null;
        }
    }
}
