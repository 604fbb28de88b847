using System.Diagnostics;
using System.Runtime.CompilerServices;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Client;

/// <summary>A migration job, to be watched, waited for or cancelled; letting go of the handle changes nothing.</summary>
public sealed class MigrationHandle
{
    private static readonly TimeSpan _settleLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(100);

    private readonly GodwitClient _client;

    internal MigrationHandle(GodwitClient client, MigrationTicket ticket)
    {
        _client = client;
        Ticket = ticket;
    }

    public MigrationTicket Ticket { get; }

    /// <summary>Steps after a sequence, as they come, until the migration has ended.</summary>
    public async IAsyncEnumerable<MigrationStep> WatchAsync(long afterSequence = 0, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        var after = afterSequence;
        MigrationUpdate update;
        do
        {
            update = await AskAsync(after, cancellation);
            foreach (var step in update.Steps)
            {
                yield return step;
                after = step.Sequence;
            }
        }
        while (update.Outcome == MigrationOutcome.UnderWay);
    }

    /// <summary>Waits for the end and returns what was measured; throws <see cref="GodwitException"/> where it failed or was cancelled.</summary>
    public async Task<MigrationResult> ResultAsync(CancellationToken cancellation = default)
    {
        MigrationUpdate update;
        do
        {
            update = await AskAsync(long.MaxValue - 1, cancellation);
        }
        while (update.Outcome == MigrationOutcome.UnderWay);
        return update.Result ?? throw new GodwitException(ClusterError.Failed, update.Error ?? "The migration failed.");
    }

    /// <summary>Asks it to end; before the commit the VM then runs on at the source.</summary>
    public Task CancelAsync(CancellationToken cancellation = default) =>
        _client.Calls.OnceAsync(g => g.GetGrain<IVmGrain>(Ticket.Vm).CancelMigration(), cancellation);

    private async Task<MigrationUpdate> AskAsync(long after, CancellationToken cancellation)
    {
        try
        {
            return await _client.Calls.OnceAsync(g => g.GetGrain<IHostGrain>(Ticket.SourceAddress).WatchMigration(Ticket.Job, after, CallLimits.WatchWait), cancellation);
        }
        catch (GodwitException e) when (e.Error == ClusterError.Unavailable)
        {
            return await SettleAsync(e, cancellation);
        }
    }

    /// <summary>The source does not answer: the job's owner is gone, and the ownership record tells how the move ended.</summary>
    private async Task<MigrationUpdate> SettleAsync(GodwitException silence, CancellationToken cancellation)
    {
        var vm = _client.Vm(Ticket.Vm);
        var since = Stopwatch.GetTimestamp();
        using var pause = new PeriodicTimer(_pause);
        while (Stopwatch.GetElapsedTime(since) < _settleLimit)
        {
            var sourceAlive = (await _client.SilosAsync(cancellation: cancellation)).Any(s => s.Address == Ticket.SourceAddress);
            var info = await vm.ShowAsync(cancellation);
            if (info.SiloAddress == Ticket.TargetAddress && info.State == VmState.Running)
            {
                return Ended($"Silo {Ticket.SourceName} died, but VM \"{Ticket.Vm}\" had moved: it runs on silo {Ticket.TargetName}.");
            }

            if (!sourceAlive && (info.State == VmState.Recovering || (info.State == VmState.Running && info.Recovery is not null)))
            {
                return Ended($"Silo {Ticket.SourceName} died during the migration; the cluster brings VM \"{Ticket.Vm}\" up elsewhere ({info.Definition.Restart}).");
            }

            if (!sourceAlive && info.State is VmState.Lost or VmState.Stopped)
            {
                return Ended($"Silo {Ticket.SourceName} died during the migration and VM \"{Ticket.Vm}\" with it; start it again.");
            }

            if (sourceAlive)
            {
                return new MigrationUpdate { Steps = [], Outcome = MigrationOutcome.UnderWay };
            }

            await pause.WaitForNextTickAsync(cancellation);
        }

        throw silence;
    }

    private static MigrationUpdate Ended(string error) => new() { Steps = [], Outcome = MigrationOutcome.Failed, Error = error };
}
