using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Cluster.Tests.Protocol;

// Records as version 1 declared them, for those that have grown since. Not to be changed.

[GenerateSerializer]
internal sealed record DefinitionOfVersion1
{
    [Id(0)]
    public required long MemoryBytes { get; init; }

    [Id(5)]
    public string? Kernel { get; init; }

    [Id(7)]
    public string CommandLine { get; init; } = "";
}

[GenerateSerializer]
internal sealed record HostedVmOfVersion1
{
    [Id(0)]
    public required string Name { get; init; }

    [Id(1)]
    public required string Phase { get; init; }

    [Id(2)]
    public required long Epoch { get; init; }

    [Id(3)]
    public required long MemoryBytes { get; init; }

    [Id(4)]
    public required long ResidentBytes { get; init; }
}

[GenerateSerializer]
internal sealed record IncomingOfVersion1
{
    [Id(0)]
    public required string Vm { get; init; }

    [Id(1)]
    public required string Attempt { get; init; }

    [Id(2)]
    public required string SourceAddress { get; init; }

    [Id(3)]
    public required DefinitionOfVersion1 Definition { get; init; }

    [Id(4)]
    public required string SourceName { get; init; }
}

[GenerateSerializer]
internal sealed record HostOfVersion1
{
    [Id(0)]
    public required string Name { get; init; }

    [Id(3)]
    public required long MemoryCapacity { get; init; }

    [Id(4)]
    public required long MemoryReserved { get; init; }

    [Id(5)]
    public required IReadOnlyList<HostedVmInfo> Vms { get; init; }

    [Id(7)]
    public HostDuty Duty { get; init; }

    [Id(8)]
    public IReadOnlyList<string> Leaving { get; init; } = [];
}
