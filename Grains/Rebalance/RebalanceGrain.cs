using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace Godwit.Grains.Rebalance;

/// <summary>The one place that evens out the silos. What it begins are the source silos' migrations, which go on without it.</summary>
[Reentrant, KeepAlive]
public sealed partial class RebalanceGrain : Grain, IRebalanceGrain, IRebalanceCluster, IDisposable
{
    private readonly SiloDirectory _silos;
    private readonly TimeProvider _time;
    private readonly ILogger<RebalanceGrain> _log;
    private CancellationTokenSource _stop = new();
    private RebalanceJob? _job;

    public RebalanceGrain(SiloDirectory silos, TimeProvider time, ILogger<RebalanceGrain> log)
    {
        _silos = silos;
        _time = time;
        _log = log;
    }

    private IMigrationSlotsGrain Slots => GrainFactory.GetGrain<IMigrationSlotsGrain>(0);

    public async Task<RebalancePlan> Plan() => Describe(await LookAsync()).Plan;

    public async Task<RebalanceTicket> Start(RebalanceRequest request)
    {
        if (request.PerSilo is < 1 or > RebalanceRequest.MaxMoves || request.PerCluster is < 1 or > RebalanceRequest.MaxMoves)
        {
            throw new ClusterException(ClusterError.Invalid, $"A rebalance moves 1 to {RebalanceRequest.MaxMoves} VMs at a time.");
        }

        var (plan, moves) = Describe(await LookAsync());
        if (_job is { UnderWay: true } current)
        {
            return current.Ticket;
        }

        var job = _job = new RebalanceJob(new RebalanceTicket { Job = Guid.NewGuid().ToString("N"), Plan = plan }, _time);
        _stop.Dispose();
        _stop = new CancellationTokenSource();

        // On the grain's scheduler, tied to nobody's call.
        _ = RunAsync(job, new RebalanceRun(job, request, moves, this, _time), _stop.Token);
        return job.Ticket;
    }

    public Task<RebalanceUpdate> Watch(string job, long afterSequence, TimeSpan wait) =>
        _job?.Ticket.Job == job
            ? _job.WatchAsync(afterSequence, wait < CallLimits.WatchWait ? wait : CallLimits.WatchWait)
            : throw new ClusterException(ClusterError.NotFound, "That rebalance is not known any more: the silo that carried it out has ended. Migrations that it had begun go on; give the command again for the rest.");

    public Task Cancel()
    {
        if (_job is not { UnderWay: true })
        {
            throw new ClusterException(ClusterError.WrongState, "No rebalance is under way.");
        }

        return _stop.CancelAsync();
    }

    public void Dispose() => _stop.Dispose();

    public async Task<ClusterView> LookAsync() => ClusterView.Of(await _silos.HostsAsync());

    public async Task<Task<MigrationUpdate>?> TryBeginAsync(PlannedMove move, int perCluster)
    {
        if (!await Slots.TryTake(move.From.Address, move.Vm.Name, perCluster))
        {
            return null;
        }

        var source = GrainFactory.GetGrain<IHostGrain>(move.From.Address);
        try
        {
            var ticket = await source.StartMigration(move.Vm.Name, move.To.Address, new MigrationRequest { Target = move.To.Address });
            return EndAsync(source, ticket);
        }
        catch
        {
            await Slots.Release(move.From.Address, move.Vm.Name);
            throw;
        }
    }

    private static (RebalancePlan Plan, IReadOnlyList<PlannedMove> Moves) Describe(ClusterView view)
    {
        var moves = RebalancePlanner.Plan(view);
        return (new RebalancePlan
        {
            Moves = [.. moves.Select(m => new RebalanceMove
            {
                Vm = m.Vm.Name,
                FromAddress = m.From.Address,
                From = m.From.Name,
                ToAddress = m.To.Address,
                To = m.To.Name,
                MemoryBytes = m.Vm.MemoryBytes,
                Load = m.Vm.Load,
                Spread = m.Spread,
            })],
            SpreadBefore = view.Spread,
            SpreadAfter = moves.Count > 0 ? moves[^1].Spread : view.Spread,
        }, moves);
    }

    private async Task<MigrationUpdate> EndAsync(IHostGrain source, MigrationTicket ticket)
    {
        try
        {
            MigrationUpdate update;
            do
            {
                update = await source.WatchMigration(ticket.Job, long.MaxValue - 1, CallLimits.WatchWait);
            }
            while (update.Outcome == MigrationOutcome.UnderWay);
            return update;
        }
        finally
        {
            await Slots.Release(ticket.SourceAddress, ticket.Vm);
        }
    }

    private async Task RunAsync(RebalanceJob job, RebalanceRun run, CancellationToken stop)
    {
        try
        {
            await run.RunAsync(stop);
            job.End(stop.IsCancellationRequested, (await LookAsync()).Spread);
        }
        catch (Exception e)
        {
            // The edge of a job: nobody awaits it.
            LogBroken(e);
            job.End(cancelled: true, job.Ticket.Plan.SpreadBefore);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "A rebalance broke")]
    private partial void LogBroken(Exception exception);
}
