using System.Runtime.CompilerServices;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Client;

/// <summary>One VM, wherever it runs. Refusals are <see cref="GodwitException"/>.</summary>
public sealed class Vm
{
    private const int PieceSize = 512 * 1024;

    private readonly GodwitClient _client;

    internal Vm(GodwitClient client, string name)
    {
        if (!VmName.IsValid(name))
        {
            throw new GodwitException(ClusterError.Invalid, $"\"{new string([.. name.Where(c => !char.IsControl(c)).Take(VmName.MaxLength)])}\" is not a VM name: use 1 to {VmName.MaxLength} of a-z, 0-9 and '-', not beginning with '-'.");
        }

        _client = client;
        Name = name;
    }

    public string Name { get; }

    private ClusterCalls Calls => _client.Calls;

    public Task CreateAsync(VmDefinition definition, CancellationToken cancellation = default) =>
        Calls.OnceAsync(g => Grain(g).Create(definition), cancellation);

    /// <summary>Boots the VM on a silo (name or address; null: the one that placement chooses).</summary>
    public Task<VmInfo> StartAsync(string? silo = null, CancellationToken cancellation = default) =>
        Calls.OnceAsync(g => Grain(g).Start(silo), cancellation);

    public Task PauseAsync(CancellationToken cancellation = default) => Calls.OnceAsync(g => Grain(g).Pause(), cancellation);

    public Task ResumeAsync(CancellationToken cancellation = default) => Calls.OnceAsync(g => Grain(g).Resume(), cancellation);

    /// <summary>Changes what becomes of the VM when its silo is lost; its silo follows within seconds.</summary>
    public Task SetRestartAsync(RestartPolicy policy, CancellationToken cancellation = default) =>
        Calls.OnceAsync(g => Grain(g).SetRestart(policy), cancellation);

    /// <summary>Ends the guest; its memory is gone.</summary>
    public Task StopAsync(CancellationToken cancellation = default) => Calls.OnceAsync(g => Grain(g).Stop(), cancellation);

    /// <summary>Forgets the stopped VM.</summary>
    public Task DeleteAsync(CancellationToken cancellation = default) => Calls.OnceAsync(g => Grain(g).Delete(), cancellation);

    public Task<VmInfo> ShowAsync(CancellationToken cancellation = default) => Calls.RetryAsync(g => Grain(g).Show(), cancellation);

    /// <summary>
    /// Starts a live migration, a job of the cluster's: it goes on whatever happens to this client. Watch it with the
    /// handle, now or later (<see cref="AttachMigrationAsync"/>).
    /// </summary>
    public async Task<MigrationHandle> MigrateAsync(MigrationRequest request, CancellationToken cancellation = default) =>
        new(_client, await Calls.OnceAsync(g => Grain(g).Migrate(request), cancellation));

    /// <summary>The steps of a new migration as they come; throws where it fails in the end.</summary>
    public async IAsyncEnumerable<MigrationStep> Migrate(MigrationRequest request, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var handle = await MigrateAsync(request, cancellation);
        await foreach (var step in handle.WatchAsync(0, cancellation))
        {
            yield return step;
        }

        await handle.ResultAsync(cancellation);
    }

    /// <summary>The VM's latest migration, under way or done; null where there was none.</summary>
    public async Task<MigrationHandle?> AttachMigrationAsync(CancellationToken cancellation = default) =>
        (await ShowAsync(cancellation)).Migration is { } ticket ? new MigrationHandle(_client, ticket) : null;

    /// <summary>
    /// The console from a position on (default: the oldest byte that is kept), following the VM over migrations with no
    /// byte lost or doubled; ends when the guest has ended or, without <paramref name="follow"/>, when all has been read.
    /// Where the guest went back to a checkpoint, since its silo was lost, the next segment says so
    /// (<see cref="ConsoleSegment.VoidUpTo"/>); where it booted again, by its boot epoch.
    /// </summary>
    public IAsyncEnumerable<ConsoleSegment> Console(ConsolePosition from = default, bool follow = true, CancellationToken cancellation = default) =>
        new ConsoleReader(_client, Name).ReadAsync(from, follow, cancellation);

    /// <summary>Types at the console; waits while the VM is between two silos.</summary>
    public Task WriteConsoleAsync(ReadOnlyMemory<byte> input, CancellationToken cancellation = default) =>
        new HostCalls(_client, Name).OnOwnerAsync(h => h.WriteConsole(Name, input.ToArray()), cancellation);

    /// <summary>Writes a snapshot of the VM; the guest pauses while its silo makes it.</summary>
    public async Task SnapshotAsync(Stream destination, IProgress<(long Done, long Total)>? progress = null, CancellationToken cancellation = default)
    {
        var host = await RequireOwnerAsync(cancellation);
        var id = await Calls.OnceAsync(g => Host(g, host).OpenSnapshot(Name), cancellation);
        try
        {
            long offset = 0;
            FilePiece piece;
            do
            {
                var at = offset;
                piece = await Calls.RetryAsync(g => Host(g, host).ReadSnapshot(id, at, PieceSize), cancellation);
                await destination.WriteAsync(piece.Bytes, cancellation);
                offset += piece.Bytes.Length;
                progress?.Report((offset, piece.Length));
            }
            while (offset < piece.Length);
            await destination.FlushAsync(cancellation);
        }
        finally
        {
            await CloseAsync(host, id);
        }
    }

    /// <summary>Brings the stopped VM up from a snapshot, paused, on a silo (null: the one that placement chooses).</summary>
    public async Task RestoreAsync(Stream snapshot, string? silo = null, IProgress<long>? uploaded = null, CancellationToken cancellation = default)
    {
        var place = await Calls.OnceAsync(g => Grain(g).PlaceRestore(silo), cancellation);
        var host = place.SiloAddress!;
        var id = await Calls.OnceAsync(g => Host(g, host).OpenUpload(), cancellation);
        try
        {
            var buffer = new byte[PieceSize];
            long offset = 0;
            int read;
            while ((read = await snapshot.ReadAtLeastAsync(buffer, PieceSize, throwOnEndOfStream: false, cancellation)) > 0)
            {
                var piece = buffer[..read];
                await Calls.OnceAsync(g => Host(g, host).AppendUpload(id, offset, piece), cancellation);
                offset += read;
                uploaded?.Report(offset);
            }

            await Calls.OnceAsync(g => Host(g, host).RestoreVm(Name, id), cancellation);
        }
        finally
        {
            await CloseAsync(host, id);
        }
    }

    /// <summary>What one silo (by its address) remembers of the VM's runs; asked once, for callers that may not wait for one that is silent.</summary>
    public Task<RunHistory> RunsAtAsync(string siloAddress, CancellationToken cancellation = default) =>
        Calls.OnceAsync(g => Host(g, siloAddress).GetRuns(Name), cancellation);

    /// <summary>When which silo ran the VM, from all live silos, in order of time (one machine's CLOCK_MONOTONIC).</summary>
    public async Task<RunHistory> RunsAsync(CancellationToken cancellation = default)
    {
        var histories = new List<RunHistory>();
        foreach (var silo in await _client.SilosAsync(cancellation: cancellation))
        {
            try
            {
                histories.Add(await Calls.RetryAsync(g => Host(g, silo.Address).GetRuns(Name), cancellation));
            }
            catch (GodwitException e) when (e.Error == ClusterError.Unavailable)
            {
                // It died a moment ago, and what it remembered with it.
            }
        }

        return new RunHistory
        {
            Intervals = [.. histories.SelectMany(h => h.Intervals).OrderBy(i => i.Started)],
            Marks = [.. histories.SelectMany(h => h.Marks).OrderBy(m => m.Timestamp)],
            TicksPerSecond = histories.Select(h => h.TicksPerSecond).FirstOrDefault(System.Diagnostics.Stopwatch.Frequency),
        };
    }

    /// <summary>A file that cannot be closed is dropped by its silo after a while, or has gone with it.</summary>
    private async Task CloseAsync(string host, string id)
    {
        try
        {
            await Calls.OnceAsync(g => Host(g, host).CloseFile(id), CancellationToken.None);
        }
        catch (GodwitException e) when (e.Error == ClusterError.Unavailable)
        {
        }
    }

    private static IHostGrain Host(IGrainFactory grains, string address) => grains.GetGrain<IHostGrain>(address);

    private IVmGrain Grain(IGrainFactory grains) => grains.GetGrain<IVmGrain>(Name);

    private async Task<string> RequireOwnerAsync(CancellationToken cancellation)
    {
        var location = await Calls.RetryAsync(g => Grain(g).Locate(), cancellation);
        return location is { Owned: true, SiloAlive: true, SiloAddress: { } address }
            ? address
            : throw new GodwitException(ClusterError.WrongState, $"VM \"{Name}\" is not running.");
    }
}
