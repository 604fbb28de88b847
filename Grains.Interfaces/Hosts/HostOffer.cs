namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>What a silo has for VMs beside memory, and what of it is taken.</summary>
[GenerateSerializer, Alias("Godwit.HostOffer"), Immutable]
public sealed record HostOffer
{
    /// <summary>vCPUs that it may hold; more than its cores, since most guests are idle most of the time.</summary>
    [Id(0)]
    public required int Vcpus { get; init; }

    /// <summary>Of those, promised to VMs and to incoming migrations.</summary>
    [Id(1)]
    public required int VcpusReserved { get; init; }

    /// <summary>The machine's cores.</summary>
    [Id(2)]
    public required int Cores { get; init; }

    /// <summary>vCPUs that are busy, measured over some seconds: 0 to <see cref="VcpusReserved"/>.</summary>
    [Id(3)]
    public required double Load { get; init; }

    /// <summary>What executes guest code.</summary>
    [Id(4)]
    public required string Backend { get; init; }

    /// <summary>CPU levels that a VM may have here: 1 to 3 for x86-64-v1 to v3.</summary>
    [Id(5)]
    public required IReadOnlyList<int> CpuLevels { get; init; }

    [Id(6)]
    public required IReadOnlyDictionary<string, string> Labels { get; init; }

    /// <summary>Anti-affinity groups that have a VM here or on its way here, with that VM's name.</summary>
    [Id(7)]
    public required IReadOnlyDictionary<string, string> Groups { get; init; }
}
