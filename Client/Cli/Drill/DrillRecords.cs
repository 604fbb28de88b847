namespace Godwit.Cli.Drill;

/// <summary>One check of a drill and what it found. A drill passes when every check held.</summary>
public sealed record Check(string Name, bool Held, string Detail);

/// <summary>A copy round as the report shows it.</summary>
public sealed record DrillRound(int Round, double StartMilliseconds, double Milliseconds, long Pages, long ZeroPages, long Bytes, long DirtiedMeanwhile, bool Final);

/// <summary>One migration: what the silos measured and what the guest saw.</summary>
public sealed record DrillMigration
{
    public required string Guest { get; init; }

    /// <summary>Whether the guest was asked to help, and whether it called Ready in time.</summary>
    public required bool Cooperation { get; init; }

    public required bool GuestWasReady { get; init; }

    public required string From { get; init; }

    public required string To { get; init; }

    public required IReadOnlyList<DrillRound> Rounds { get; init; }

    public required double TotalMilliseconds { get; init; }

    /// <summary>From the last guest instruction on the source to the first on the target, full verification taken out.</summary>
    public required double BlackoutMilliseconds { get; init; }

    /// <summary>Hashing all RAM on both sides while stopped.</summary>
    public required double VerificationMilliseconds { get; init; }

    /// <summary>The largest gap between two readings of the guest's own clock around this migration, verification included.</summary>
    public double? GuestGapMilliseconds { get; init; }

    public required long Bytes { get; init; }

    public required long FreePagesSkipped { get; init; }

    public required string SourceHash { get; init; }

    public required string TargetHash { get; init; }

    public required long Epoch { get; init; }
}

/// <summary>An interval in which a silo ran the VM; times are CLOCK_MONOTONIC nanoseconds of the one machine all silos run on.</summary>
public sealed record RunInterval(string Vm, string Silo, long Epoch, long StartNanoseconds, long? StopNanoseconds);

/// <summary>What one guest's part of a drill brought.</summary>
public sealed record GuestRun(string Guest, string Vm, byte[] Console, IReadOnlyList<DrillMigration> Migrations, IReadOnlyList<RunInterval> Intervals);

/// <summary>The whole report, as report.json holds it.</summary>
public sealed record DrillReport
{
    public required string Name { get; init; }

    public required DateTimeOffset Started { get; init; }

    public required double Seconds { get; init; }

    public required int Seed { get; init; }

    public required string? Injected { get; init; }

    public required bool Passed { get; init; }

    public required IReadOnlyList<Check> Checks { get; init; }

    /// <summary>What was measured, by name; the name gives the unit.</summary>
    public required IReadOnlyDictionary<string, double> Figures { get; init; }

    public required IReadOnlyList<DrillMigration> Migrations { get; init; }

    public required IReadOnlyList<RunInterval> RunIntervals { get; init; }
}
