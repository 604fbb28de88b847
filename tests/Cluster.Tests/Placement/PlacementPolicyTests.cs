using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;
using Xunit;

namespace Godwit.Cluster.Tests.Placement;

/// <summary>What keeps a VM off a silo, and which silo is chosen.</summary>
public sealed class PlacementPolicyTests
{
    private static readonly SiloRoom _silo = Rooms.Silo("a") with
    {
        Labels = new Dictionary<string, string> { ["zone"] = "a" },
        CpuLevels = [1, 2],
    };

    [Fact]
    public void AnEmptySiloTakesWhatItHasRoomFor() =>
        Assert.Null(PlacementRules.Refusal(Rooms.Vm("x", 1024, constraints: new PlacementConstraints { Labels = _silo.Labels, Silo = "a", AntiAffinity = ["g"] }), _silo));

    [Fact]
    public void EachThingThatKeepsAVmOffIsNamed()
    {
        var vm = Rooms.Vm("x");
        (VmDemand Vm, SiloRoom Silo, string Says)[] cases =
        [
            (vm with { MemoryBytes = 1025 * Rooms.MiB }, _silo, "lacks memory (1 GiB of 1 GiB free)"),
            (vm, _silo with { MemoryReserved = 1000 * Rooms.MiB }, "lacks memory (24 MiB of 1 GiB free)"),
            (vm, _silo with { VcpusReserved = 16 }, "lacks vCPUs (0 of 16 free)"),
            (vm with { CpuLevel = 3 }, _silo, "lacks CPU level x86-64-v3"),
            (vm, _silo with { Serving = HostDuty.Draining }, "is draining"),
            (vm, _silo with { Serving = HostDuty.Drained }, "is drained"),
            (vm with { Constraints = new PlacementConstraints { Silo = "b" } }, _silo, "is not silo b"),
            (vm with { Constraints = new PlacementConstraints { Labels = new Dictionary<string, string> { ["disk"] = "ssd" } } }, _silo, "lacks label disk=ssd"),
            (vm with { Constraints = new PlacementConstraints { Labels = new Dictionary<string, string> { ["zone"] = "b" } } }, _silo, "lacks label zone=b (it has zone=a)"),
            (vm with { Constraints = new PlacementConstraints { AntiAffinity = ["g"] } }, _silo.With(Rooms.Vm("y", constraints: new PlacementConstraints { AntiAffinity = ["f", "g"] })), "has VM y of anti-affinity group g"),
        ];
        Assert.All(cases, c => Assert.Equal(c.Says, PlacementRules.Refusal(c.Vm, c.Silo)));
    }

    [Fact]
    public void AVmIsNotKeptOffByItself()
    {
        var vm = Rooms.Vm("x", constraints: new PlacementConstraints { AntiAffinity = ["g"] });
        Assert.Null(PlacementRules.Refusal(vm, _silo.With(vm)));
    }

    [Fact]
    public void TakingAVmAwayLeavesTheSiloAsItWas()
    {
        var other = Rooms.Vm("y", constraints: new PlacementConstraints { AntiAffinity = ["f"] }, load: 0.5);
        var before = _silo.With(other);
        var vm = Rooms.Vm("x", load: 0.25, constraints: new PlacementConstraints { AntiAffinity = ["g", "h"] });

        var after = before.With(vm).Without(vm);

        Assert.Equal(before with { Groups = SiloRoom.NoGroups }, after with { Groups = SiloRoom.NoGroups });
        Assert.Equal(before.Groups, after.Groups);
    }

    [Fact]
    public void TheRefusalSaysInOneLineWhatEverySiloIsShortOf()
    {
        var silos = new[] { _silo with { MemoryReserved = 1000 * Rooms.MiB }, Rooms.Silo("b") with { VcpusReserved = 16 }, Rooms.Silo("c") with { Serving = HostDuty.Drained } };

        var refused = Assert.Throws<ClusterException>(() => PlacementPolicy.Choose(Rooms.Vm("x"), silos));

        Assert.Equal(ClusterError.NoRoom, refused.Error);
        Assert.Equal("No silo has room for VM \"x\" (64 MiB, 1 vCPU): a lacks memory (24 MiB of 1 GiB free); b lacks vCPUs (0 of 16 free); c is drained.", refused.Message);
    }

    [Fact]
    public void AVmThatIsBoundToAnAbsentSiloSaysSo()
    {
        var refused = Assert.Throws<ClusterException>(() => PlacementPolicy.Choose(Rooms.Vm("x", constraints: new PlacementConstraints { Silo = "z" }), [_silo]));
        Assert.Equal("VM \"x\" may run on silo z only, and z is not among the silos that could take it (a).", refused.Message);
    }

    [Fact]
    public void WhatFitsNoEmptySiloIsRefusedWhenItIsCreated()
    {
        var full = Rooms.Silo("b") with { MemoryReserved = 1024 * Rooms.MiB, VcpusReserved = 16, Serving = HostDuty.Draining };
        PlacementPolicy.RequireFeasible(Rooms.Vm("x", 1024), [full]);
        var refused = Assert.Throws<ClusterException>(() => PlacementPolicy.RequireFeasible(Rooms.Vm("x") with { Vcpus = 17 }, [full]));
        Assert.Equal("No silo can ever take VM \"x\" (64 MiB, 17 vCPUs): b lacks vCPUs (16 of 16 free).", refused.Message);
    }

    [Fact]
    public void LoadDecidesWhereMemoryIsAlike()
    {
        // Fewer VMs, but busy ones.
        var busy = Rooms.Silo("a").With(Rooms.Vm("y", load: 3));
        var idle = Rooms.Silo("b").With(Rooms.Vm("z", load: 0.1)).With(Rooms.Vm("w", load: 0.1));
        Assert.Equal("b", PlacementPolicy.Choose(Rooms.Vm("x", load: 1), [busy, idle]).Name);
    }

    [Fact]
    public void TheTighterResourceDecides()
    {
        var fullOfMemory = Rooms.Silo("a").With(Rooms.Vm("y", 800));
        var busy = Rooms.Silo("b").With(Rooms.Vm("z", load: 2));
        Assert.Equal("b", PlacementPolicy.Choose(Rooms.Vm("x", load: 0.2), [fullOfMemory, busy]).Name);
    }

    [Fact]
    public void ALargerSiloTakesMore()
    {
        var large = Rooms.Silo("a").With(Rooms.Vm("y", load: 3)) with { Cores = 16 };
        var small = Rooms.Silo("b").With(Rooms.Vm("z", load: 1)) with { Cores = 2 };
        Assert.Equal("a", PlacementPolicy.Choose(Rooms.Vm("x", load: 1), [large, small]).Name);
    }
}
