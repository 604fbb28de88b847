using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Placement;

/// <summary>Chooses a silo for a VM: one that it may run on, and that is least pressed with it.</summary>
public static class PlacementPolicy
{
    /// <summary>
    /// The silo whose tighter resource, measured CPU use or promised memory, is least used once the VM is there; the other
    /// resource, then fewer vCPUs, then the name decide between equals. Throws <see cref="ClusterException"/> (NoRoom) with
    /// what each silo is short of.
    /// </summary>
    public static SiloRoom Choose(VmDemand vm, IReadOnlyList<SiloRoom> silos)
    {
        var best = silos
            .Where(s => PlacementRules.Refusal(vm, s) is null)
            .Select(s => s.With(vm))
            .OrderBy(s => Math.Round(Math.Max(s.CpuUse, s.MemoryUse), 3))
            .ThenBy(s => Math.Round(s.CpuUse + s.MemoryUse, 3))
            .ThenBy(s => s.VcpusReserved)
            .ThenBy(s => s.Name, StringComparer.Ordinal)
            .FirstOrDefault();
        return best is null ? throw Refuse(vm, silos) : silos.First(s => s.Address == best.Address);
    }

    /// <summary>Throws where the VM fits on no silo even if it were empty.</summary>
    public static void RequireFeasible(VmDemand vm, IReadOnlyList<SiloRoom> silos)
    {
        if (silos.All(s => PlacementRules.RefusalWhenEmpty(vm, s) is not null))
        {
            throw new ClusterException(ClusterError.NoRoom, $"No silo can ever take {vm}: {Reasons(silos, s => PlacementRules.RefusalWhenEmpty(vm, s))}.");
        }
    }

    private static ClusterException Refuse(VmDemand vm, IReadOnlyList<SiloRoom> silos) =>
        vm.Constraints.Silo is { } only && silos.All(s => s.Name != only)
            ? new ClusterException(ClusterError.NoRoom, $"VM \"{vm.Name}\" may run on silo {only} only, and {only} is not among the silos that could take it ({string.Join(", ", silos.Select(s => s.Name))}).")
            : new ClusterException(ClusterError.NoRoom, $"No silo has room for {vm}: {Reasons(silos, s => PlacementRules.Refusal(vm, s))}.");

    private static string Reasons(IReadOnlyList<SiloRoom> silos, Func<SiloRoom, string?> refusal) =>
        string.Join("; ", silos.OrderBy(s => s.Name, StringComparer.Ordinal).Select(s => $"{s.Name} {refusal(s)}"));
}
