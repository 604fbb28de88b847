using System.Globalization;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Grains.Placement;

/// <summary>What keeps a VM off a silo. Callers choose by it, and each silo holds its own VMs to it, so that no two choices made at once break it.</summary>
public static class PlacementRules
{
    /// <summary>Null where the silo can take the VM now; otherwise what it is short of, as "lacks ..." or "is ...".</summary>
    public static string? Refusal(VmDemand vm, SiloRoom silo) =>
        Duty(silo) ?? Fixed(vm, silo) ?? Memory(vm, silo) ?? Vcpus(vm, silo) ?? Groups(vm, silo);

    /// <summary>Null where the silo could take the VM if it held nothing.</summary>
    public static string? RefusalWhenEmpty(VmDemand vm, SiloRoom silo) =>
        Refusal(vm, silo with { Serving = HostDuty.Serving, MemoryReserved = 0, VcpusReserved = 0, Groups = SiloRoom.NoGroups });

    private static string? Duty(SiloRoom silo) => silo.Serving switch
    {
        HostDuty.Serving => null,
        HostDuty.Drained => "is drained",
        _ => "is draining",
    };

    private static string? Fixed(VmDemand vm, SiloRoom silo)
    {
        if (vm.Constraints.Silo is { } only && only != silo.Name)
        {
            return $"is not silo {only}";
        }

        foreach (var (key, value) in vm.Constraints.Labels)
        {
            if (silo.Labels.GetValueOrDefault(key) is var has && has != value)
            {
                return $"lacks label {key}={value}{(has is null ? "" : $" (it has {key}={has})")}";
            }
        }

        return silo.CpuLevels.Contains(vm.CpuLevel) ? null : $"lacks CPU level x86-64-v{vm.CpuLevel}";
    }

    private static string? Memory(VmDemand vm, SiloRoom silo) =>
        vm.MemoryBytes <= silo.MemoryCapacity - silo.MemoryReserved
            ? null
            : $"lacks memory ({MemorySize.Format(silo.MemoryCapacity - silo.MemoryReserved)} of {MemorySize.Format(silo.MemoryCapacity)} free)";

    private static string? Vcpus(VmDemand vm, SiloRoom silo) =>
        vm.Vcpus <= silo.VcpuCapacity - silo.VcpusReserved
            ? null
            : string.Create(CultureInfo.InvariantCulture, $"lacks vCPUs ({silo.VcpuCapacity - silo.VcpusReserved} of {silo.VcpuCapacity} free)");

    private static string? Groups(VmDemand vm, SiloRoom silo)
    {
        foreach (var group in vm.Constraints.AntiAffinity)
        {
            if (silo.Groups.TryGetValue(group, out var held) && held != vm.Name)
            {
                return $"has VM {held} of anti-affinity group {group}";
            }
        }

        return null;
    }
}
