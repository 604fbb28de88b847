using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;
using Godwit.Grains.Rebalance;
using Xunit;

namespace Godwit.Cluster.Tests.Placement;

/// <summary>A plan carried out on a cluster of the test's, where migrations end when the test says so.</summary>
public sealed class RebalanceRunTests
{
    private static readonly VmDemand[] _vms = [.. Enumerable.Range(0, 12).Select(i => Rooms.Vm($"v{i:00}", 64, 0.25))];

    [Fact]
    public async Task MovesKeepToTheLimitsAndTheSpreadFallsWithEach()
    {
        var cluster = new FakeCluster(RebalancePlannerTests.Cluster(("a", _vms[..6]), ("b", _vms[6..]), ("c", [])));
        var (job, run) = cluster.Start(new RebalanceRequest { PerSilo = 1, PerCluster = 5 });
        var spread = cluster.View.Spread;
        for (var move = 0; move < 4; move++)
        {
            await cluster.BegunAsync(Math.Min(move + 2, 4));
            Assert.True(cluster.Moving.Count <= 2);
            Assert.All(cluster.View.Leaving.Values, l => Assert.True(l.Count <= 1));
            cluster.EndFirst();
            Assert.True(cluster.View.Spread < spread);
            spread = cluster.View.Spread;
        }

        await run;
        job.End(false, cluster.View.Spread);
        var end = await job.WatchAsync(0, TimeSpan.Zero);
        Assert.Equal((RebalanceOutcome.Done, 4, 0), (end.Outcome, end.Result!.Moved.Count, end.Result.Skipped));
        Assert.Equal(Enumerable.Range(1, 8).Select(i => (long)i), end.Steps.Select(s => s.Sequence));
        Assert.Equal([3, 2, 1, 0], end.Steps.Where(s => s.Event == RebalanceEvent.Moved).Select(s => s.Left));
        Assert.Equal(0, end.Result.SpreadAfter, 1e-9);
    }

    [Fact]
    public async Task TheClustersLimitIsKeptAndAskedForAgain()
    {
        var cluster = new FakeCluster(RebalancePlannerTests.Cluster(("a", _vms[..6]), ("b", _vms[6..]), ("c", [])));
        var (_, run) = cluster.Start(new RebalanceRequest { PerSilo = 5, PerCluster = 1 });
        for (var move = 0; move < 4; move++)
        {
            await cluster.BegunAsync(move + 1);
            Assert.Single(cluster.Moving);
            cluster.EndFirst();
        }

        await run;
    }

    [Fact]
    public async Task ACancelledRunBeginsNoMoreAndWaitsForWhatHasBegun()
    {
        var cluster = new FakeCluster(RebalancePlannerTests.Cluster(("a", _vms[..6]), ("b", _vms[6..]), ("c", [])));
        using var stop = new CancellationTokenSource();
        var (job, run) = cluster.Start(new RebalanceRequest { PerSilo = 1, PerCluster = 1 }, stop.Token);
        await cluster.BegunAsync(1);

        await stop.CancelAsync();
        Assert.False(run.IsCompleted);
        cluster.EndFirst();
        await run;

        Assert.Equal(1, cluster.Begun);
        Assert.Equal([RebalanceEvent.Moving, RebalanceEvent.Moved], (await job.WatchAsync(0, TimeSpan.Zero)).Steps.Select(s => s.Event));
    }

    [Fact]
    public async Task AMoveThatWouldNotHelpAnyMoreIsLeftOut()
    {
        // While the first move is under way the VMs that were to follow lose their load and are deleted: a is even with c then.
        var cluster = new FakeCluster(RebalancePlannerTests.Cluster(("a", _vms[..4]), ("c", [])));
        var (job, run) = cluster.Start(new RebalanceRequest { PerSilo = 1, PerCluster = 1 });
        await cluster.BegunAsync(1);
        cluster.Remove(2);
        cluster.EndFirst();
        await run;
        job.End(false, cluster.View.Spread);

        var end = await job.WatchAsync(0, TimeSpan.Zero);
        Assert.Equal((RebalanceOutcome.Done, 1, 1), (end.Outcome, end.Result!.Moved.Count, end.Result.Skipped));
        Assert.Equal(0, cluster.View.Spread, 1e-9);
    }

    [Fact]
    public async Task FailedAndRefusedMovesAreToldAndTheOthersGoOn()
    {
        var cluster = new FakeCluster(RebalancePlannerTests.Cluster(("a", _vms[..6]), ("b", _vms[6..]), ("c", []))) { RefuseNext = "silo a is on fire" };
        var (job, run) = cluster.Start(new RebalanceRequest { PerSilo = 1, PerCluster = 1 });
        await cluster.BegunAsync(1);
        cluster.FailFirst("the link was lost");
        await cluster.BegunAsync(2);
        cluster.EndFirst();
        await cluster.BegunAsync(3);
        cluster.EndFirst();
        await run;
        job.End(false, cluster.View.Spread);

        var end = await job.WatchAsync(0, TimeSpan.Zero);
        Assert.Equal((RebalanceOutcome.Incomplete, 2, 2), (end.Outcome, end.Result!.Moved.Count, end.Result.Failed));
        Assert.Contains(end.Steps, s => s.Message.EndsWith("was not moved: silo a is on fire", StringComparison.Ordinal));
        Assert.Contains(end.Steps, s => s.Message.EndsWith("was not moved: the link was lost", StringComparison.Ordinal));
    }

    /// <summary>Silos and VMs that move when told; a VM on its way counts on both sides, as in a real cluster.</summary>
    private sealed class FakeCluster(ClusterView view) : IRebalanceCluster
    {
        private readonly Lock _lock = new();
        private ClusterView _view = view;
        private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ClusterView View
        {
            get
            {
                lock (_lock)
                {
                    return Moving.Aggregate(_view, (v, m) => v with { Silos = [.. v.Silos.Select(s => s.Address == m.Move.To.Address ? s.Without(m.Move.Vm) : s)] });
                }
            }
        }

        public List<(PlannedMove Move, TaskCompletionSource<MigrationUpdate> End)> Moving { get; } = [];

        public int Begun { get; private set; }

        public string? RefuseNext { get; set; }

        public (RebalanceJob Job, Task Run) Start(RebalanceRequest request, CancellationToken stop = default)
        {
            var plan = RebalancePlanner.Plan(_view);
            var moves = plan.Select(m => new RebalanceMove { Vm = m.Vm.Name, FromAddress = m.From.Address, From = m.From.Name, ToAddress = m.To.Address, To = m.To.Name, MemoryBytes = m.Vm.MemoryBytes, Load = m.Vm.Load, Spread = m.Spread });
            var job = new RebalanceJob(new RebalanceTicket { Job = "job", Plan = new RebalancePlan { Moves = [.. moves], SpreadBefore = _view.Spread, SpreadAfter = plan[^1].Spread } }, TimeProvider.System);
            return (job, Task.Run(() => new RebalanceRun(job, request, plan, this, TimeProvider.System).RunAsync(stop), CancellationToken.None));
        }

        public async Task BegunAsync(int count)
        {
            while (true)
            {
                Task changed;
                lock (_lock)
                {
                    if (Begun >= count)
                    {
                        return;
                    }

                    changed = _changed.Task;
                }

                await changed.WaitAsync(TimeSpan.FromSeconds(30));
            }
        }

        public void EndFirst()
        {
            var (move, end) = Take();
            lock (_lock)
            {
                _view = _view with
                {
                    Silos = [.. _view.Silos.Select(s => s.Address == move.From.Address ? s.Without(move.Vm) : s)],
                    Vms = [.. _view.Vms, new PlacedVm(move.Vm, move.To.Address)],
                };
            }

            end.SetResult(new MigrationUpdate { Steps = [], Outcome = MigrationOutcome.Done, Result = Result() });
        }

        public void FailFirst(string why)
        {
            var (move, end) = Take();
            lock (_lock)
            {
                _view = _view with
                {
                    Silos = [.. _view.Silos.Select(s => s.Address == move.To.Address ? s.Without(move.Vm) : s)],
                    Vms = [.. _view.Vms, new PlacedVm(move.Vm, move.From.Address)],
                };
            }

            end.SetResult(new MigrationUpdate { Steps = [], Outcome = MigrationOutcome.Failed, Error = why });
        }

        /// <summary>So many of the VMs that stand still end.</summary>
        public void Remove(int count)
        {
            lock (_lock)
            {
                foreach (var gone in _view.Vms.Take(count).ToList())
                {
                    _view = _view with
                    {
                        Silos = [.. _view.Silos.Select(s => s.Address == gone.Silo ? s.Without(gone.Vm) : s)],
                        Vms = [.. _view.Vms.Where(p => p != gone)],
                    };
                }
            }
        }

        public Task<ClusterView> LookAsync()
        {
            lock (_lock)
            {
                return Task.FromResult(_view with
                {
                    Leaving = Moving.GroupBy(m => m.Move.From.Address).ToDictionary(g => g.Key, g => (IReadOnlyList<string>)[.. g.Select(m => m.Move.Vm.Name)]),
                });
            }
        }

        public Task<Task<MigrationUpdate>?> TryBeginAsync(PlannedMove move, int perCluster)
        {
            lock (_lock)
            {
                if (Moving.Count >= perCluster)
                {
                    return Task.FromResult<Task<MigrationUpdate>?>(null);
                }

                if (RefuseNext is { } refusal)
                {
                    RefuseNext = null;
                    throw new ClusterException(ClusterError.Failed, refusal);
                }

                Assert.Null(PlacementRules.Refusal(move.Vm, _view.Find(move.To.Address)!));
                var end = new TaskCompletionSource<MigrationUpdate>(TaskCreationOptions.RunContinuationsAsynchronously);
                Moving.Add((move, end));
                Begun++;
                _view = _view with
                {
                    Silos = [.. _view.Silos.Select(s => s.Address == move.To.Address ? s.With(move.Vm) : s)],
                    Vms = [.. _view.Vms.Where(p => p.Vm.Name != move.Vm.Name)],
                };
                _changed.TrySetResult();
                _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                return Task.FromResult<Task<MigrationUpdate>?>(end.Task);
            }
        }

        private (PlannedMove Move, TaskCompletionSource<MigrationUpdate> End) Take()
        {
            lock (_lock)
            {
                var first = Moving[0];
                Moving.RemoveAt(0);
                return first;
            }
        }

        private static MigrationResult Result() => new()
        {
            Rounds = [],
            Total = TimeSpan.FromSeconds(1),
            Blackout = TimeSpan.FromMilliseconds(7),
            Verification = TimeSpan.Zero,
            Bytes = 0,
            SourceHash = "",
            TargetHash = "",
            GuestWasReady = false,
            FreePagesSkipped = 0,
            Epoch = 2,
            Stages = [],
            SourceName = "",
            TargetName = "",
            ClockAdvance = TimeSpan.Zero,
            TargetReported = true,
            StopReason = "",
        };
    }
}
