namespace Godwit.Grains.Interfaces.Vms;

/// <summary>Where a VM is in its life, as the cluster knows it.</summary>
public enum VmState
{
    /// <summary>Nobody runs it: never started, stopped, or ended by itself.</summary>
    Stopped = 0,
    Running = 1,
    Paused = 2,

    /// <summary>Running, and on its way to another silo.</summary>
    Migrating = 3,

    /// <summary>The silo that ran it is gone; start it again.</summary>
    Lost = 4,

    /// <summary>The silo that ran it is gone; the cluster brings it up elsewhere by its restart policy.</summary>
    Recovering = 5,
}

/// <summary>A VM as <c>vm show</c> prints it.</summary>
[GenerateSerializer, Alias("Godwit.VmInfo"), Immutable]
public sealed record VmInfo
{
    [Id(0)]
    public required string Name { get; init; }

    [Id(1)]
    public required VmDefinition Definition { get; init; }

    [Id(2)]
    public required VmState State { get; init; }

    /// <summary>The silo that owns it (or owned it last), by name; null before the first start.</summary>
    [Id(3)]
    public required string? Silo { get; init; }

    /// <summary>That silo's address: the key of its <c>IHostGrain</c>.</summary>
    [Id(4)]
    public required string? SiloAddress { get; init; }

    [Id(5)]
    public required long Epoch { get; init; }

    /// <summary>The epoch at which the guest last booted: console offsets count from there.</summary>
    [Id(6)]
    public required long BootEpoch { get; init; }

    /// <summary>Why it is stopped, where it is; where it is to be brought up again, what keeps the silos from it. One line.</summary>
    [Id(7)]
    public string? Reason { get; init; }

    [Id(8)]
    public int? ExitCode { get; init; }

    /// <summary>Live figures, when a silo runs it.</summary>
    [Id(9)]
    public VmFigures? Figures { get; init; }

    /// <summary>The latest migration, running or done.</summary>
    [Id(10)]
    public MigrationTicket? Migration { get; init; }

    /// <summary>The checkpoint from which it would go on, where it has one.</summary>
    [Id(11)]
    public CheckpointInfo? Checkpoint { get; init; }

    /// <summary>Measured by the silo that runs it.</summary>
    [Id(12)]
    public CheckpointFigures? Checkpoints { get; init; }

    /// <summary>Null where it has not been taken over since its last start.</summary>
    [Id(13)]
    public RecoveryInfo? Recovery { get; init; }
}

/// <summary>What the machine itself reports.</summary>
[GenerateSerializer, Alias("Godwit.VmFigures"), Immutable]
public sealed record VmFigures
{
    [Id(0)]
    public required long ResidentBytes { get; init; }

    [Id(1)]
    public required long ConsoleEnd { get; init; }

    [Id(2)]
    public required ulong RetiredInstructions { get; init; }

    [Id(3)]
    public required ulong GuestNanoseconds { get; init; }
}

/// <summary>Where to find a VM's machine: ask this silo's host grain.</summary>
[GenerateSerializer, Alias("Godwit.VmLocation"), Immutable]
public sealed record VmLocation
{
    /// <summary>Null before the first start.</summary>
    [Id(0)]
    public required string? SiloAddress { get; init; }

    [Id(1)]
    public required string? SiloName { get; init; }

    [Id(2)]
    public required long Epoch { get; init; }

    [Id(3)]
    public required long BootEpoch { get; init; }

    /// <summary>Whether that silo is a live member of the cluster.</summary>
    [Id(4)]
    public required bool SiloAlive { get; init; }

    /// <summary>Whether the record says that somebody runs it (or is moving it).</summary>
    [Id(5)]
    public required bool Owned { get; init; }
}

/// <summary>One row of <c>vm list</c>: from the ownership record alone.</summary>
[GenerateSerializer, Alias("Godwit.VmSummary"), Immutable]
public sealed record VmSummary
{
    [Id(0)]
    public required string Name { get; init; }

    [Id(1)]
    public required VmState State { get; init; }

    [Id(2)]
    public required string? Silo { get; init; }

    [Id(3)]
    public required long MemoryBytes { get; init; }

    [Id(4)]
    public required long Epoch { get; init; }
}
