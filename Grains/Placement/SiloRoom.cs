using System.Collections.Immutable;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Grains.Placement;

/// <summary>A silo as placement sees it: what it has, what of it is taken, and how busy it is.</summary>
public sealed record SiloRoom
{
    public static ImmutableDictionary<string, string> NoGroups { get; } = ImmutableDictionary<string, string>.Empty;

    public required string Name { get; init; }

    public required string Address { get; init; }

    public required HostDuty Serving { get; init; }

    public required long MemoryCapacity { get; init; }

    public required long MemoryReserved { get; init; }

    public required int VcpuCapacity { get; init; }

    public required int VcpusReserved { get; init; }

    public required int Cores { get; init; }

    /// <summary>Busy vCPUs.</summary>
    public required double Load { get; init; }

    public required IReadOnlyList<int> CpuLevels { get; init; }

    public required IReadOnlyDictionary<string, string> Labels { get; init; }

    /// <summary>Anti-affinity groups here, each with its VM's name.</summary>
    public required ImmutableDictionary<string, string> Groups { get; init; }

    /// <summary>Busy vCPUs for each core.</summary>
    public double CpuUse => Load / Cores;

    /// <summary>The share of memory that is promised.</summary>
    public double MemoryUse => (double)MemoryReserved / MemoryCapacity;

    /// <summary>From what a silo says of itself; a silo of protocol 1 says less, and has x86-64-v1 and no labels.</summary>
    public static SiloRoom Of(HostInfo host) => new()
    {
        Name = host.Name,
        Address = host.Address,
        Serving = host.Duty,
        MemoryCapacity = host.MemoryCapacity,
        MemoryReserved = host.MemoryReserved,
        VcpuCapacity = host.Offer?.Vcpus ?? int.MaxValue,
        VcpusReserved = host.Offer?.VcpusReserved ?? host.Vms.Count,
        Cores = host.Offer?.Cores ?? 1,
        Load = host.Offer?.Load ?? 0,
        CpuLevels = host.Offer?.CpuLevels ?? [1],
        Labels = host.Offer?.Labels ?? NoGroups,
        Groups = host.Offer is { } offer ? offer.Groups.ToImmutableDictionary() : NoGroups,
    };

    /// <summary>With one VM more.</summary>
    public SiloRoom With(VmDemand vm) => this with
    {
        MemoryReserved = MemoryReserved + vm.MemoryBytes,
        VcpusReserved = VcpusReserved + vm.Vcpus,
        Load = Load + vm.Load,
        Groups = Groups.SetItems(vm.Constraints.AntiAffinity.Select(g => KeyValuePair.Create(g, vm.Name))),
    };

    /// <summary>Without one of its VMs.</summary>
    public SiloRoom Without(VmDemand vm) => this with
    {
        MemoryReserved = MemoryReserved - vm.MemoryBytes,
        VcpusReserved = VcpusReserved - vm.Vcpus,
        Load = Math.Max(0, Load - vm.Load),
        Groups = Groups.RemoveRange(vm.Constraints.AntiAffinity.Where(g => Groups.GetValueOrDefault(g) == vm.Name)),
    };
}
