using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Rebalance;

/// <summary>
/// Carries a plan out by live migrations, a few at a time. Before each move the cluster is looked at again: a move that is
/// not allowed any more, or would not lower the spread as it is by then, is left out.
/// </summary>
public sealed class RebalanceRun(RebalanceJob job, RebalanceRequest request, IReadOnlyList<PlannedMove> plan, IRebalanceCluster cluster, TimeProvider time)
{
    /// <summary>How often is looked for room that no migration of ours announces.</summary>
    private static readonly TimeSpan _look = TimeSpan.FromMilliseconds(100);

    private readonly List<PlannedMove> _waiting = [.. plan];
    private readonly Dictionary<PlannedMove, Task<MigrationUpdate>> _moving = [];

    /// <summary>Returns when every move is done or left out. Cancelling begins no more of them, and waits for those under way.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        using var look = new PeriodicTimer(_look, time);
        Task<bool>? tick = null;
        while (_waiting.Count > 0 || _moving.Count > 0)
        {
            await SettleAsync();
            if (cancellation.IsCancellationRequested)
            {
                _waiting.Clear();
            }

            await BeginAsync();
            if (_waiting.Count == 0 && _moving.Count == 0)
            {
                return;
            }

            tick ??= look.WaitForNextTickAsync(CancellationToken.None).AsTask();
            await Task.WhenAny([.. _moving.Values, tick]);
            if (tick.IsCompleted)
            {
                tick = null;
            }
        }
    }

    private async Task SettleAsync()
    {
        foreach (var (move, migration) in _moving.Where(m => m.Value.IsCompleted).ToList())
        {
            _moving.Remove(move);
            try
            {
                var end = await migration;
                if (end.Result is { } result)
                {
                    job.Moved(new DrainedVm { Name = move.Vm.Name, Target = move.To.Name, Blackout = result.Blackout, Total = result.Total });
                }
                else
                {
                    job.Fail(move, end.Error ?? "its migration failed.");
                }
            }
            catch (Exception e) when (e is ClusterException or TimeoutException or OrleansException)
            {
                job.Fail(move, $"its silo {move.From.Name} does not say how its migration ended ({e.Message})");
            }
        }
    }

    private async Task BeginAsync()
    {
        foreach (var move in _waiting.ToList())
        {
            var view = await cluster.LookAsync();
            if (view.LeavingFrom(move.From.Address).Count >= request.PerSilo)
            {
                continue;
            }

            var settled = _moving.Keys.Aggregate(view, (v, m) => v.Arrived(m.Vm, m.From.Address));
            if (RebalancePlanner.Objection(settled, move) is { } objection)
            {
                // What is under way may make room for it.
                if (_moving.Count == 0)
                {
                    _waiting.Remove(move);
                    job.Skip(move, objection);
                }

                continue;
            }

            try
            {
                if (await cluster.TryBeginAsync(move, request.PerCluster) is not { } migration)
                {
                    return;
                }

                _waiting.Remove(move);
                _moving[move] = migration;
                job.Moving(move);
            }
            catch (Exception e) when (e is ClusterException or TimeoutException or OrleansException)
            {
                _waiting.Remove(move);
                job.Fail(move, e.Message);
            }
        }
    }
}
