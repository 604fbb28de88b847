using MessagePack;

namespace Godwit.Engine.Migration;

/// <summary>The stages of docs/migration.md, in order; Failed and Cancelled end it with the source running.</summary>
public enum MigrationStage
{
    Negotiate,
    Announce,
    Copy,
    Stop,
    Moving,
    Final,
    Verify,
    Commit,
    Running,
    Released,
    Done,
    Failed,
    Cancelled,
}

/// <summary>The caller's contract.</summary>
[MessagePackObject]
public sealed record MigrationOptions
{
    /// <summary>Stop the guest when the predicted blackout is below this. Default 50 ms.</summary>
    [Key(0)]
    public TimeSpan MaxBlackout { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Rounds after which the guest is stopped whatever is left. Default 30.</summary>
    [Key(1)]
    public int MaxRounds { get; init; } = 30;

    /// <summary>Hash all RAM on both sides while stopped and compare; its time is reported apart from the blackout.</summary>
    [Key(2)]
    public bool VerifyAllMemory { get; init; }

    /// <summary>Ask a guest that knows it is virtual to help (free pages, Ready). Default true.</summary>
    [Key(3)]
    public bool Cooperate { get; init; } = true;

    /// <summary>How long a cooperating guest may take until Ready; after that it is stopped like any other. Default 250 ms.</summary>
    [Key(4)]
    public TimeSpan ReadyTimeout { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>A fault to plant, for drills: null, "lost-page", "double-run", "clock-back" or "console-gap".</summary>
    [Key(5)]
    public string? Inject { get; init; }

    /// <summary>A peer that shows no sign of life for this long is gone. Default 10 s.</summary>
    [Key(6)]
    public TimeSpan SilenceLimit { get; init; } = TimeSpan.FromSeconds(10);
}

/// <summary>One copy round as it ended. Rounds count from 1; the final one, with the guest stopped, is marked.</summary>
[MessagePackObject]
public sealed record RoundReport(
    [property: Key(0)] int Round,
    [property: Key(1)] long Pages,
    [property: Key(2)] long ZeroPages,
    [property: Key(3)] long Bytes,
    [property: Key(4)] TimeSpan Duration,
    [property: Key(5)] long DirtiedMeanwhile,
    [property: Key(6)] bool Final,
    [property: Key(7)] long FreePagesSkipped);

/// <summary>Where a migration stands. Sequence, round and bytes never run backwards.</summary>
[MessagePackObject]
public sealed record MigrationProgress(
    [property: Key(0)] long Sequence,
    [property: Key(1)] MigrationStage Stage,
    [property: Key(2)] int Round,
    [property: Key(3)] long PagesSent,
    [property: Key(4)] long PagesLeft,
    [property: Key(5)] long BytesSent,
    [property: Key(6)] double DirtyPagesPerSecond,
    [property: Key(7)] TimeSpan PredictedBlackout,
    [property: Key(8)] TimeSpan Elapsed,
    [property: Key(9)] string Message);

/// <summary>What a finished migration measured.</summary>
[MessagePackObject]
public sealed record MigrationReport
{
    [Key(0)]
    public required IReadOnlyList<RoundReport> Rounds { get; init; }

    [Key(1)]
    public required TimeSpan Total { get; init; }

    /// <summary>From the last guest instruction on the source to the first on the target, verification time taken out.</summary>
    [Key(2)]
    public required TimeSpan Blackout { get; init; }

    /// <summary>Time spent on <see cref="MigrationOptions.VerifyAllMemory"/> while stopped.</summary>
    [Key(3)]
    public required TimeSpan Verification { get; init; }

    [Key(4)]
    public required long Bytes { get; init; }

    /// <summary>XxHash128 of all RAM, as hex, on the source and on the target; empty when not verified in full.</summary>
    [Key(5)]
    public required string SourceHash { get; init; }

    [Key(6)]
    public required string TargetHash { get; init; }

    /// <summary>Whether the guest called Ready in time.</summary>
    [Key(7)]
    public required bool GuestWasReady { get; init; }

    [Key(8)]
    public required long FreePagesSkipped { get; init; }

    /// <summary>The epoch under which the machine runs now.</summary>
    [Key(9)]
    public required long Epoch { get; init; }

    /// <summary>Each stage with the time since the migration began at which it was entered.</summary>
    [Key(10)]
    public required IReadOnlyList<StageEntry> Stages { get; init; }

    /// <summary>
    /// Whether the target's own measurements are in. Not so where the link was lost after the commit and the source
    /// learned from the record that the target runs: blackout and epoch are then 0, because nobody here knows them.
    /// </summary>
    [Key(11)]
    public bool TargetReported { get; init; } = true;

    /// <summary>How far the guest's clock was moved on for the time it stood still.</summary>
    [Key(12)]
    public TimeSpan ClockAdvance { get; init; }

    /// <summary>Why the copy rounds ended, one line.</summary>
    [Key(13)]
    public string StopReason { get; init; } = "";
}

[MessagePackObject]
public sealed record StageEntry([property: Key(0)] MigrationStage Stage, [property: Key(1)] TimeSpan At);

/// <summary>A migration that did not take place; the message is one line. <see cref="SourceRuns"/> tells whether the source may run on.</summary>
public sealed class MigrationFailedException(string message, bool sourceRuns, Exception? inner = null, bool ownerUnknown = false) : Exception(message, inner)
{
    public bool SourceRuns { get; } = sourceRuns;

    /// <summary>Nobody here could learn who owns the machine: this copy must not run, and must not go, because it may be the only one.</summary>
    public bool OwnerUnknown { get; } = ownerUnknown;
}
