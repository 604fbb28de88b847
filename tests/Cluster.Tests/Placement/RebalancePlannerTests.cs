using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;
using Godwit.Grains.Rebalance;
using Xunit;

namespace Godwit.Cluster.Tests.Placement;

/// <summary>What a plan promises, over random clusters and by example.</summary>
public sealed class RebalancePlannerTests
{
    private const int Clusters = 400;

    [Fact]
    public void OverRandomClustersNoStepRaisesTheSpreadNorBreaksAConstraintAndEveryPlanEnds()
    {
        var first = Random.Shared.Next(1 << 20);
        var planned = 0;
        for (var seed = first; seed < first + Clusters; seed++)
        {
            var cluster = RandomClusters.Draw(new Random(seed));
            var plan = RebalancePlanner.Plan(cluster);
            planned += plan.Count;
            Assert.True(plan.Count <= cluster.Vms.Count, $"seed {seed}");
            Assert.True(plan.Select(m => m.Vm.Name).Distinct().Count() == plan.Count, $"seed {seed}: a VM moves twice");
            foreach (var move in plan)
            {
                // The rules once more, by themselves: the planner's own look is not believed.
                RandomClusters.RequireAllowed(cluster, move, seed);
                var after = cluster.With(move.Vm, move.From.Address, move.To.Address);
                Assert.True(after.Spread <= cluster.Spread - RebalancePlanner.LeastGain, $"seed {seed}: from {cluster.Spread} to {after.Spread}");
                Assert.Equal(after.Spread, move.Spread, 1e-9);
                cluster = after;
            }
        }

        Assert.True(planned > Clusters, $"only {planned} moves were planned from seed {first} on: the clusters are too even to show anything");
    }

    [Fact]
    public void EvenSilosAreLeftAlone()
    {
        var vms = new[] { Rooms.Vm("x", 256, 1), Rooms.Vm("y", 256, 1) };
        Assert.Empty(RebalancePlanner.Plan(Cluster(("a", [vms[0]]), ("b", [vms[1]]))));
    }

    [Fact]
    public void ANewSiloIsFilledUntilAllAreUsedAlike()
    {
        var vms = Enumerable.Range(0, 12).Select(i => Rooms.Vm($"v{i:00}", 64, 0.25)).ToArray();

        var plan = RebalancePlanner.Plan(Cluster(("a", vms[..6]), ("b", vms[6..]), ("c", [])));

        Assert.Equal(4, plan.Count);
        Assert.All(plan, m => Assert.Equal("c", m.To.Name));
        Assert.Equal(2, plan.Count(m => m.From.Name == "a"));
        Assert.Equal(0, plan[^1].Spread, 1e-9);
    }

    [Fact]
    public void LoadCountsAndNotTheNumberOfVms()
    {
        // One busy VM against four idle ones: by count a is the emptier one.
        var busy = new[] { Rooms.Vm("busy-1", 64, 1), Rooms.Vm("busy-2", 64, 1) };
        var idle = Enumerable.Range(0, 4).Select(i => Rooms.Vm($"idle-{i}", 64)).ToArray();

        var move = Assert.Single(RebalancePlanner.Plan(Cluster(("a", busy), ("b", idle))), m => m.Vm.Load > 0);

        Assert.Equal(("a", "b"), (move.From.Name, move.To.Name));
    }

    [Fact]
    public void DrainingSilosTakeNoPart()
    {
        HostInfo[] hosts = [Host("a", HostDuty.Serving, 8), Host("b", HostDuty.Serving, 0), Host("c", HostDuty.Draining, 0)];

        var plan = RebalancePlanner.Plan(ClusterView.Of(hosts));

        Assert.NotEmpty(plan);
        Assert.All(plan, m => Assert.Equal("b", m.To.Name));
    }

    [Theory]
    [InlineData("Paused", false)]
    [InlineData("Incoming", false)]
    [InlineData("Running", true)]
    public void VmsThatCannotMoveOrMoveAlreadyAreNotPlanned(string phase, bool leaving)
    {
        var full = Host("a", HostDuty.Serving, 8);
        full = full with { Vms = [.. full.Vms.Select(v => v with { Phase = phase })], Leaving = leaving ? [.. full.Vms.Select(v => v.Name)] : [] };
        Assert.Empty(RebalancePlanner.Plan(ClusterView.Of([full, Host("b", HostDuty.Serving, 0)])));
    }

    [Fact]
    public void AMoveIsNoLongerMadeWhenItsReasonIsGone()
    {
        var vms = new[] { Rooms.Vm("x", 256), Rooms.Vm("y", 256) };
        var cluster = Cluster(("a", vms), ("b", []));
        var move = Assert.Single(RebalancePlanner.Plan(cluster));
        Assert.Null(RebalancePlanner.Objection(cluster, move));
        var other = vms.Single(v => v.Name != move.Vm.Name);

        Assert.Equal("it would not even out the silos any more", RebalancePlanner.Objection(cluster.With(other, "address-of-a", "address-of-b"), move));
        Assert.Equal("it does not run on silo a any more", RebalancePlanner.Objection(cluster.With(move.Vm, "address-of-a", "address-of-b"), move));
        Assert.Equal("silo b takes no VMs any more", RebalancePlanner.Objection(cluster with { Silos = [cluster.Silos[0]] }, move));
        Assert.Equal("silo b lacks vCPUs (0 of 0 free)", RebalancePlanner.Objection(cluster with { Silos = [cluster.Silos[0], cluster.Silos[1] with { VcpuCapacity = 0 }] }, move));
    }

    internal static ClusterView Cluster(params (string Name, VmDemand[] Vms)[] silos) => new(
        [.. silos.Select(s => s.Vms.Aggregate(Rooms.Silo(s.Name), (room, vm) => room.With(vm)))],
        [.. silos.SelectMany(s => s.Vms.Select(v => new PlacedVm(v, "address-of-" + s.Name)))],
        new Dictionary<string, IReadOnlyList<string>>());

    /// <summary>A silo of 1 GiB with so many VMs of 64 MiB.</summary>
    private static HostInfo Host(string name, HostDuty duty, int vms) => new()
    {
        Name = name,
        Address = "address-of-" + name,
        DataEndpoint = "",
        MemoryCapacity = 1024 * Rooms.MiB,
        MemoryReserved = vms * 64 * Rooms.MiB,
        ProcessId = 1,
        Duty = duty,
        Vms = [.. Enumerable.Range(0, vms).Select(i => new HostedVmInfo { Name = $"{name}{i}", Phase = "Running", Epoch = 1, MemoryBytes = 64 * Rooms.MiB, ResidentBytes = 0 })],
    };
}
