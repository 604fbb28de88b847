namespace Godwit.Grains.Interfaces.Vms;

/// <summary>The caller's contract for one migration; see docs/migration.md.</summary>
[GenerateSerializer, Alias("Godwit.MigrationRequest"), Immutable]
public sealed record MigrationRequest
{
    /// <summary>Name or address of the silo to move to; null: the one that placement chooses.</summary>
    [Id(0)]
    public string? Target { get; init; }

    /// <summary>Stop the guest when the predicted blackout is below this.</summary>
    [Id(1)]
    public TimeSpan MaxBlackout { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Rounds after which the guest is stopped whatever is left.</summary>
    [Id(2)]
    public int MaxRounds { get; init; } = 30;

    /// <summary>Hash all RAM on both sides while the guest is stopped, and compare.</summary>
    [Id(3)]
    public bool VerifyAllMemory { get; init; }

    /// <summary>Ask a guest that knows it is virtual to help.</summary>
    [Id(4)]
    public bool Cooperate { get; init; } = true;

    /// <summary>How long a cooperating guest may take until Ready.</summary>
    [Id(5)]
    public TimeSpan ReadyTimeout { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>A fault to plant, for drills.</summary>
    [Id(6)]
    public string? Inject { get; init; }
}

/// <summary>A migration under way or done: a job that its source silo owns.</summary>
[GenerateSerializer, Alias("Godwit.MigrationTicket"), Immutable]
public sealed record MigrationTicket
{
    [Id(0)]
    public required string Job { get; init; }

    [Id(1)]
    public required string Vm { get; init; }

    /// <summary>Key of the host grain that owns the job.</summary>
    [Id(2)]
    public required string SourceAddress { get; init; }

    [Id(3)]
    public required string SourceName { get; init; }

    [Id(4)]
    public required string TargetAddress { get; init; }

    [Id(5)]
    public required string TargetName { get; init; }
}

/// <summary>How a migration ended, or that it has not.</summary>
public enum MigrationOutcome
{
    UnderWay = 0,
    Done = 1,

    /// <summary>It failed; <see cref="MigrationUpdate.Error"/> says why and whether the source runs.</summary>
    Failed = 2,
    Cancelled = 3,
}

/// <summary>Where a migration stands. Sequence, round and bytes never run backwards.</summary>
[GenerateSerializer, Alias("Godwit.MigrationStep"), Immutable]
public sealed record MigrationStep
{
    [Id(0)]
    public required long Sequence { get; init; }

    /// <summary>A stage's name, as docs/migration.md lists them.</summary>
    [Id(1)]
    public required string Stage { get; init; }

    [Id(2)]
    public required int Round { get; init; }

    [Id(3)]
    public required long PagesSent { get; init; }

    [Id(4)]
    public required long PagesLeft { get; init; }

    [Id(5)]
    public required long BytesSent { get; init; }

    [Id(6)]
    public required double DirtyPagesPerSecond { get; init; }

    [Id(7)]
    public required TimeSpan PredictedBlackout { get; init; }

    [Id(8)]
    public required TimeSpan Elapsed { get; init; }

    [Id(9)]
    public required string Message { get; init; }
}

/// <summary>Steps after the sequence that was asked for, and the end where it has come.</summary>
[GenerateSerializer, Alias("Godwit.MigrationUpdate"), Immutable]
public sealed record MigrationUpdate
{
    [Id(0)]
    public required IReadOnlyList<MigrationStep> Steps { get; init; }

    [Id(1)]
    public required MigrationOutcome Outcome { get; init; }

    [Id(2)]
    public string? Error { get; init; }

    [Id(3)]
    public MigrationResult? Result { get; init; }
}

/// <summary>One copy round as it ended.</summary>
[GenerateSerializer, Alias("Godwit.MigrationRound"), Immutable]
public sealed record MigrationRound
{
    [Id(0)]
    public required int Round { get; init; }

    [Id(1)]
    public required long Pages { get; init; }

    [Id(2)]
    public required long ZeroPages { get; init; }

    [Id(3)]
    public required long Bytes { get; init; }

    [Id(4)]
    public required TimeSpan Duration { get; init; }

    [Id(5)]
    public required long DirtiedMeanwhile { get; init; }

    /// <summary>Sent with the guest stopped.</summary>
    [Id(6)]
    public required bool Final { get; init; }

    [Id(7)]
    public required long FreePagesSkipped { get; init; }
}

/// <summary>When a stage was entered, from the migration's begin.</summary>
[GenerateSerializer, Alias("Godwit.MigrationStageTime"), Immutable]
public sealed record MigrationStageTime
{
    [Id(0)]
    public required string Stage { get; init; }

    [Id(1)]
    public required TimeSpan At { get; init; }
}

/// <summary>What a finished migration measured.</summary>
[GenerateSerializer, Alias("Godwit.MigrationResult"), Immutable]
public sealed record MigrationResult
{
    [Id(0)]
    public required IReadOnlyList<MigrationRound> Rounds { get; init; }

    [Id(1)]
    public required TimeSpan Total { get; init; }

    /// <summary>From the last guest instruction on the source to the first on the target, verification taken out.</summary>
    [Id(2)]
    public required TimeSpan Blackout { get; init; }

    /// <summary>Time spent on hashing all memory while stopped.</summary>
    [Id(3)]
    public required TimeSpan Verification { get; init; }

    [Id(4)]
    public required long Bytes { get; init; }

    /// <summary>XxHash128 of all RAM as hex; empty when not verified in full.</summary>
    [Id(5)]
    public required string SourceHash { get; init; }

    [Id(6)]
    public required string TargetHash { get; init; }

    [Id(7)]
    public required bool GuestWasReady { get; init; }

    [Id(8)]
    public required long FreePagesSkipped { get; init; }

    /// <summary>The epoch under which the VM runs now.</summary>
    [Id(9)]
    public required long Epoch { get; init; }

    [Id(10)]
    public required IReadOnlyList<MigrationStageTime> Stages { get; init; }

    [Id(11)]
    public required string SourceName { get; init; }

    [Id(12)]
    public required string TargetName { get; init; }

    /// <summary>Guest time that was added for the move.</summary>
    [Id(13)]
    public required TimeSpan ClockAdvance { get; init; }

    /// <summary>False where the link was lost after the commit: blackout and epoch are then not known here.</summary>
    [Id(14)]
    public required bool TargetReported { get; init; }

    /// <summary>Why the copy rounds ended, one line.</summary>
    [Id(15)]
    public required string StopReason { get; init; }
}
