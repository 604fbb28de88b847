using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>A source's request that a silo get ready to receive a VM.</summary>
[GenerateSerializer, Alias("Godwit.IncomingRequest"), Immutable]
public sealed record IncomingRequest
{
    [Id(0)]
    public required string Vm { get; init; }

    /// <summary>The migration's job id; the data connection names it again.</summary>
    [Id(1)]
    public required string Attempt { get; init; }

    [Id(2)]
    public required string SourceAddress { get; init; }

    [Id(3)]
    public required VmDefinition Definition { get; init; }

    [Id(4)]
    public required string SourceName { get; init; }

    /// <summary>vCPUs that it keeps busy at the source, so that the target counts with it from now on.</summary>
    [Id(5)]
    public double Load { get; init; }

    /// <summary>What the source understands.</summary>
    [Id(6)]
    public ProtocolRange Protocol { get; init; } = ProtocolRange.First;
}

/// <summary>Where to send it.</summary>
[GenerateSerializer, Alias("Godwit.IncomingTicket"), Immutable]
public sealed record IncomingTicket
{
    /// <summary>HOST:PORT of the target's data plane.</summary>
    [Id(0)]
    public required string DataEndpoint { get; init; }

    [Id(1)]
    public required string TargetName { get; init; }
}

/// <summary>What a host knows of a machine that it holds.</summary>
[GenerateSerializer, Alias("Godwit.HostedVmStatus"), Immutable]
public sealed record HostedVmStatus
{
    [Id(0)]
    public required bool Paused { get; init; }

    [Id(1)]
    public required VmFigures Figures { get; init; }

    /// <summary>The migration that this host runs or ran last for it.</summary>
    [Id(2)]
    public MigrationTicket? Migration { get; init; }

    [Id(3)]
    public required bool MigrationUnderWay { get; init; }

    [Id(4)]
    public CheckpointFigures? Checkpoints { get; init; }
}

/// <summary>A piece of a file that a host keeps for a client for a while.</summary>
[GenerateSerializer, Alias("Godwit.FilePiece"), Immutable]
public sealed record FilePiece
{
    [Id(0)]
    public required byte[] Bytes { get; init; }

    /// <summary>Length of the whole.</summary>
    [Id(1)]
    public required long Length { get; init; }
}
