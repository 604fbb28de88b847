using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;
using Godwit.Grains.Rebalance;
using Xunit;

namespace Godwit.Cluster.Tests.Placement;

/// <summary>Clusters drawn by lot: silos of unlike sizes and labels, VMs of unlike sizes, loads and constraints, each where it is allowed.</summary>
internal static class RandomClusters
{
    private static readonly string[] _zones = ["x", "y"];

    public static ClusterView Draw(Random random)
    {
        var silos = Enumerable.Range(0, random.Next(1, 7)).Select(i => Rooms.Silo($"s{i}") with
        {
            MemoryCapacity = random.Next(4, 33) * 64 * Rooms.MiB,
            VcpuCapacity = random.Next(2, 40),
            Cores = random.Next(1, 9),
            CpuLevels = random.Next(2) == 0 ? [1] : [1, 2],
            Labels = new Dictionary<string, string> { ["zone"] = _zones[random.Next(2)] },
        }).ToArray();
        var vms = new List<PlacedVm>();
        for (var i = random.Next(0, 60); i > 0; i--)
        {
            var vm = new VmDemand($"v{i}", random.Next(1, 9) * 32 * Rooms.MiB, random.Next(1, 4), random.Next(1, 3), Constraints(random, silos.Length), random.NextDouble() * 3);

            // Crowded on the first silos, so that there is something to do.
            var at = random.Next(1 + random.Next(silos.Length));
            if (PlacementRules.Refusal(vm, silos[at]) is null)
            {
                silos[at] = silos[at].With(vm);
                vms.Add(new PlacedVm(vm, silos[at].Address));
            }
        }

        return new ClusterView(silos, vms, new Dictionary<string, IReadOnlyList<string>>());
    }

    /// <summary>Everything that must hold of a move, counted from the VMs and not from the sums that the planner keeps.</summary>
    public static void RequireAllowed(ClusterView cluster, PlannedMove move, int seed)
    {
        var target = cluster.Find(move.To.Address)!;
        var there = cluster.Vms.Where(p => p.Silo == move.To.Address).Select(p => p.Vm).ToList();
        Assert.True(cluster.Vms.Single(p => p.Vm.Name == move.Vm.Name).Silo == move.From.Address, $"seed {seed}: {move.Vm.Name} is not on {move.From.Name}");
        Assert.True(there.Sum(v => v.MemoryBytes) + move.Vm.MemoryBytes <= target.MemoryCapacity, $"seed {seed}: memory of {target.Name}");
        Assert.True(there.Sum(v => v.Vcpus) + move.Vm.Vcpus <= target.VcpuCapacity, $"seed {seed}: vCPUs of {target.Name}");
        Assert.True(target.CpuLevels.Contains(move.Vm.CpuLevel), $"seed {seed}: CPU level on {target.Name}");
        Assert.True(move.Vm.Constraints.Labels.All(l => target.Labels.GetValueOrDefault(l.Key) == l.Value), $"seed {seed}: labels of {target.Name}");
        Assert.True(move.Vm.Constraints.Silo is null || move.Vm.Constraints.Silo == target.Name, $"seed {seed}: {move.Vm.Name} on {target.Name}");
        Assert.False(there.SelectMany(v => v.Constraints.AntiAffinity).Intersect(move.Vm.Constraints.AntiAffinity).Any(), $"seed {seed}: a group meets on {target.Name}");
    }

    private static PlacementConstraints Constraints(Random random, int silos) => new()
    {
        Labels = random.Next(4) == 0 ? new Dictionary<string, string> { ["zone"] = _zones[random.Next(2)] } : [],
        AntiAffinity = random.Next(4) == 0 ? [$"g{random.Next(4)}"] : [],
        Silo = random.Next(12) == 0 ? $"s{random.Next(silos)}" : null,
    };
}
