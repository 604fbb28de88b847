namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>Whether a silo takes VMs.</summary>
public enum HostDuty
{
    /// <summary>It does.</summary>
    Serving = 0,

    /// <summary>It takes none, and still runs some.</summary>
    Draining = 1,

    /// <summary>It takes none, and runs none.</summary>
    Drained = 2,
}

/// <summary>How a silo is to be drained.</summary>
[GenerateSerializer, Alias("Godwit.DrainRequest"), Immutable]
public sealed record DrainRequest
{
    public const int DefaultPerSilo = 2;
    public const int DefaultPerCluster = 5;
    public const int MaxMoves = 64;

    /// <summary>Migrations out of this silo at a time.</summary>
    [Id(0)]
    public int PerSilo { get; init; } = DefaultPerSilo;

    /// <summary>Migrations in the whole cluster at a time, those of other silos and of people's commands counted too.</summary>
    [Id(1)]
    public int PerCluster { get; init; } = DefaultPerCluster;
}

/// <summary>A drain under way or done: a job of the silo that is drained.</summary>
[GenerateSerializer, Alias("Godwit.DrainTicket"), Immutable]
public sealed record DrainTicket
{
    [Id(0)]
    public required string Job { get; init; }

    /// <summary>Key of the host grain that owns the job.</summary>
    [Id(1)]
    public required string SiloAddress { get; init; }

    [Id(2)]
    public required string SiloName { get; init; }
}

/// <summary>What a step of a drain tells.</summary>
public enum DrainEvent
{
    /// <summary>The drain has begun.</summary>
    Started = 0,

    /// <summary>A VM's migration has begun.</summary>
    Moving = 1,

    /// <summary>A VM runs elsewhere.</summary>
    Moved = 2,

    /// <summary>A migration failed and is tried again.</summary>
    Again = 3,

    /// <summary>A VM cannot be moved and stays.</summary>
    Kept = 4,
}

/// <summary>Where a drain stands; the sequence begins at 1 and has no gaps.</summary>
[GenerateSerializer, Alias("Godwit.DrainStep"), Immutable]
public sealed record DrainStep
{
    [Id(0)]
    public required long Sequence { get; init; }

    [Id(1)]
    public required DrainEvent Event { get; init; }

    /// <summary>Null where the step is of no one VM.</summary>
    [Id(2)]
    public required string? Vm { get; init; }

    /// <summary>One line.</summary>
    [Id(3)]
    public required string Message { get; init; }

    [Id(4)]
    public required TimeSpan Elapsed { get; init; }

    /// <summary>VMs moved so far.</summary>
    [Id(5)]
    public required int Moved { get; init; }

    /// <summary>VMs that this silo still holds.</summary>
    [Id(6)]
    public required int Left { get; init; }
}

/// <summary>How a drain ended, or that it has not.</summary>
public enum DrainOutcome
{
    UnderWay = 0,

    /// <summary>The silo holds no VM.</summary>
    Done = 1,

    /// <summary>Some VMs could not be moved; they run on.</summary>
    Incomplete = 2,

    /// <summary>Undrain, or the silo's end, came first.</summary>
    Cancelled = 3,
}

/// <summary>Steps after the sequence that was asked for, and the end where it has come.</summary>
[GenerateSerializer, Alias("Godwit.DrainUpdate"), Immutable]
public sealed record DrainUpdate
{
    [Id(0)]
    public required IReadOnlyList<DrainStep> Steps { get; init; }

    [Id(1)]
    public required DrainOutcome Outcome { get; init; }

    /// <summary>Once it has ended.</summary>
    [Id(2)]
    public DrainResult? Result { get; init; }
}

/// <summary>A drain that has ended.</summary>
[GenerateSerializer, Alias("Godwit.DrainResult"), Immutable]
public sealed record DrainResult
{
    [Id(0)]
    public required IReadOnlyList<DrainedVm> Moved { get; init; }

    [Id(1)]
    public required IReadOnlyList<KeptVm> Kept { get; init; }

    [Id(2)]
    public required TimeSpan Total { get; init; }

    /// <summary>The longest that one of the guests stood still; zero where none moved.</summary>
    [Id(3)]
    public required TimeSpan LongestBlackout { get; init; }
}

/// <summary>A VM that a drain moved.</summary>
[GenerateSerializer, Alias("Godwit.DrainedVm"), Immutable]
public sealed record DrainedVm
{
    [Id(0)]
    public required string Name { get; init; }

    [Id(1)]
    public required string Target { get; init; }

    [Id(2)]
    public required TimeSpan Blackout { get; init; }

    [Id(3)]
    public required TimeSpan Total { get; init; }
}

/// <summary>A VM that a drain could not move.</summary>
[GenerateSerializer, Alias("Godwit.KeptVm"), Immutable]
public sealed record KeptVm
{
    [Id(0)]
    public required string Name { get; init; }

    /// <summary>Why, one line.</summary>
    [Id(1)]
    public required string Reason { get; init; }
}
