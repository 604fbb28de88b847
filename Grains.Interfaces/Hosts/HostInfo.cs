using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>One silo's VM host.</summary>
[GenerateSerializer, Alias("Godwit.HostInfo"), Immutable]
public sealed record HostInfo
{
    [Id(0)]
    public required string Name { get; init; }

    /// <summary>Silo address with its generation: the host grain's key.</summary>
    [Id(1)]
    public required string Address { get; init; }

    /// <summary>Where this silo accepts migrations, HOST:PORT.</summary>
    [Id(2)]
    public required string DataEndpoint { get; init; }

    /// <summary>Guest memory this silo may hold, in bytes.</summary>
    [Id(3)]
    public required long MemoryCapacity { get; init; }

    /// <summary>Of that, promised to VMs and to incoming migrations.</summary>
    [Id(4)]
    public required long MemoryReserved { get; init; }

    [Id(5)]
    public required IReadOnlyList<HostedVmInfo> Vms { get; init; }

    [Id(6)]
    public required int ProcessId { get; init; }

    /// <summary>Whether it takes VMs.</summary>
    [Id(7)]
    public HostDuty Duty { get; init; }

    /// <summary>VMs with a migration out of here under way.</summary>
    [Id(8)]
    public IReadOnlyList<string> Leaving { get; init; } = [];

    /// <summary>Null from a silo of protocol 1.</summary>
    [Id(9)]
    public HostOffer? Offer { get; init; }

    [Id(10)]
    public ProtocolRange Protocol { get; init; } = ProtocolRange.First;

    /// <summary>The migrations of <see cref="Leaving"/>.</summary>
    [Id(11)]
    public IReadOnlyList<MigrationTicket> Migrations { get; init; } = [];

    /// <summary>VMs that room is set aside for: those here, those that start, those on their way in.</summary>
    [Id(12)]
    public IReadOnlyList<string> Reserved { get; init; } = [];

    /// <summary>The checkpoint store that this silo sees; silos with the same can take over from one another's checkpoints.</summary>
    [Id(13)]
    public string? Checkpoints { get; init; }

    /// <summary>Of the VMs whose silos were lost and which this silo watches: why they could not be brought up yet.</summary>
    [Id(14)]
    public IReadOnlyDictionary<string, string>? Unrecovered { get; init; }
}

/// <summary>A machine that a silo holds.</summary>
[GenerateSerializer, Alias("Godwit.HostedVmInfo"), Immutable]
public sealed record HostedVmInfo
{
    [Id(0)]
    public required string Name { get; init; }

    /// <summary>The machine's phase, or "Incoming" while it is being received.</summary>
    [Id(1)]
    public required string Phase { get; init; }

    [Id(2)]
    public required long Epoch { get; init; }

    [Id(3)]
    public required long MemoryBytes { get; init; }

    [Id(4)]
    public required long ResidentBytes { get; init; }

    [Id(5)]
    public int Vcpus { get; init; } = 1;

    /// <summary>CPU level that it was made with.</summary>
    [Id(6)]
    public int CpuLevel { get; init; } = 1;

    /// <summary>vCPUs of it that are busy, measured over some seconds.</summary>
    [Id(7)]
    public double Load { get; init; }

    [Id(8)]
    public PlacementConstraints? Constraints { get; init; }
}

/// <summary>A live silo as <c>silo list</c> prints it.</summary>
[GenerateSerializer, Alias("Godwit.SiloInfo"), Immutable]
public sealed record SiloInfo
{
    [Id(0)]
    public required string Name { get; init; }

    [Id(1)]
    public required string Address { get; init; }

    /// <summary>Membership's word: Active, Joining, ShuttingDown, Dead.</summary>
    [Id(2)]
    public required string Status { get; init; }

    /// <summary>Null where the host did not answer.</summary>
    [Id(3)]
    public required HostInfo? Host { get; init; }
}
