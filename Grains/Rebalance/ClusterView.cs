using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Placement;

namespace Godwit.Grains.Rebalance;

/// <summary>A VM that can be moved, and where it is.</summary>
/// <param name="Silo">That silo's address.</param>
public sealed record PlacedVm(VmDemand Vm, string Silo);

/// <summary>The silos that take VMs, and the VMs on them that can move: running, and not on their way already.</summary>
/// <param name="Leaving">Names of the VMs with a migration out of each silo under way, by its address.</param>
public sealed record ClusterView(IReadOnlyList<SiloRoom> Silos, IReadOnlyList<PlacedVm> Vms, IReadOnlyDictionary<string, IReadOnlyList<string>> Leaving)
{
    public static ClusterView Of(IReadOnlyList<HostInfo> hosts)
    {
        List<HostInfo> serving = [.. hosts.Where(h => h.Duty == HostDuty.Serving)];
        return new ClusterView(
            [.. serving.Select(SiloRoom.Of)],
            [.. serving.SelectMany(h => h.Vms.Where(v => v.Phase == "Running" && !h.Leaving.Contains(v.Name)).Select(v => new PlacedVm(VmDemand.Of(v), h.Address)))],
            serving.ToDictionary(h => h.Address, h => h.Leaving));
    }

    public SiloRoom? Find(string address) => Silos.FirstOrDefault(s => s.Address == address);

    /// <summary>How unevenly the silos are used.</summary>
    public double Spread => Rebalance.Spread.Of(Silos);

    /// <summary>After a move.</summary>
    public ClusterView With(VmDemand vm, string from, string to) => this with
    {
        Silos = [.. Silos.Select(s => s.Address == from ? s.Without(vm) : s.Address == to ? s.With(vm) : s)],
        Vms = [.. Vms.Select(p => p.Vm.Name == vm.Name ? p with { Silo = to } : p)],
    };

    /// <summary>
    /// With a VM that is under way counted at its target only: while it moves, both sides have set room aside for it.
    /// </summary>
    public ClusterView Arrived(VmDemand vm, string from) => LeavingFrom(from).Contains(vm.Name)
        ? this with { Silos = [.. Silos.Select(s => s.Address == from ? s.Without(vm) : s)] }
        : this;

    /// <summary>VMs with a migration out of a silo under way.</summary>
    public IReadOnlyList<string> LeavingFrom(string address) => Leaving.GetValueOrDefault(address) ?? [];
}

/// <summary>A move of a plan, and the spread after it.</summary>
public sealed record PlannedMove(VmDemand Vm, SiloRef From, SiloRef To, double Spread);
