namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>How VMs are to be spread out again.</summary>
[GenerateSerializer, Alias("Godwit.RebalanceRequest"), Immutable]
public sealed record RebalanceRequest
{
    public const int DefaultPerSilo = 2;
    public const int DefaultPerCluster = 5;
    public const int MaxMoves = 64;

    /// <summary>Migrations out of a silo at a time.</summary>
    [Id(0)]
    public int PerSilo { get; init; } = DefaultPerSilo;

    /// <summary>Migrations in the whole cluster at a time, those of drains and of people's commands counted too.</summary>
    [Id(1)]
    public int PerCluster { get; init; } = DefaultPerCluster;
}

/// <summary>One move of a plan.</summary>
[GenerateSerializer, Alias("Godwit.RebalanceMove"), Immutable]
public sealed record RebalanceMove
{
    [Id(0)]
    public required string Vm { get; init; }

    [Id(1)]
    public required string FromAddress { get; init; }

    [Id(2)]
    public required string From { get; init; }

    [Id(3)]
    public required string ToAddress { get; init; }

    [Id(4)]
    public required string To { get; init; }

    [Id(5)]
    public required long MemoryBytes { get; init; }

    /// <summary>vCPUs that it keeps busy.</summary>
    [Id(6)]
    public required double Load { get; init; }

    /// <summary>The spread once this move and those before it are done.</summary>
    [Id(7)]
    public required double Spread { get; init; }
}

/// <summary>
/// Moves that even out the silos, in their order. A spread is the standard deviation of the silos' use, of CPU and of memory
/// taken together: 0 where all are used alike.
/// </summary>
[GenerateSerializer, Alias("Godwit.RebalancePlan"), Immutable]
public sealed record RebalancePlan
{
    [Id(0)]
    public required IReadOnlyList<RebalanceMove> Moves { get; init; }

    [Id(1)]
    public required double SpreadBefore { get; init; }

    [Id(2)]
    public required double SpreadAfter { get; init; }
}

/// <summary>A rebalance under way or done.</summary>
[GenerateSerializer, Alias("Godwit.RebalanceTicket"), Immutable]
public sealed record RebalanceTicket
{
    [Id(0)]
    public required string Job { get; init; }

    [Id(1)]
    public required RebalancePlan Plan { get; init; }
}

/// <summary>What a step of a rebalance tells.</summary>
public enum RebalanceEvent
{
    /// <summary>A VM's migration has begun.</summary>
    Moving = 0,

    /// <summary>A VM runs where the plan wants it.</summary>
    Moved = 1,

    /// <summary>A move is left out: it is not possible any more, or would not help any more.</summary>
    Skipped = 2,

    /// <summary>A migration failed; the VM runs on where it was.</summary>
    Failed = 3,
}

/// <summary>Where a rebalance stands; the sequence begins at 1 and has no gaps.</summary>
[GenerateSerializer, Alias("Godwit.RebalanceStep"), Immutable]
public sealed record RebalanceStep
{
    [Id(0)]
    public required long Sequence { get; init; }

    [Id(1)]
    public required RebalanceEvent Event { get; init; }

    [Id(2)]
    public required string Vm { get; init; }

    /// <summary>One line.</summary>
    [Id(3)]
    public required string Message { get; init; }

    [Id(4)]
    public required TimeSpan Elapsed { get; init; }

    /// <summary>Moves of the plan that are neither done nor left out.</summary>
    [Id(5)]
    public required int Left { get; init; }
}

/// <summary>How a rebalance ended, or that it has not.</summary>
public enum RebalanceOutcome
{
    UnderWay = 0,

    /// <summary>Every move of the plan is done, or was left out because it would not have helped any more.</summary>
    Done = 1,

    /// <summary>A migration failed.</summary>
    Incomplete = 2,
    Cancelled = 3,
}

/// <summary>Steps after the sequence that was asked for, and the end where it has come.</summary>
[GenerateSerializer, Alias("Godwit.RebalanceUpdate"), Immutable]
public sealed record RebalanceUpdate
{
    [Id(0)]
    public required IReadOnlyList<RebalanceStep> Steps { get; init; }

    [Id(1)]
    public required RebalanceOutcome Outcome { get; init; }

    /// <summary>Once it has ended.</summary>
    [Id(2)]
    public RebalanceResult? Result { get; init; }
}

/// <summary>A rebalance that has ended.</summary>
[GenerateSerializer, Alias("Godwit.RebalanceResult"), Immutable]
public sealed record RebalanceResult
{
    [Id(0)]
    public required IReadOnlyList<DrainedVm> Moved { get; init; }

    [Id(1)]
    public required int Skipped { get; init; }

    [Id(2)]
    public required int Failed { get; init; }

    [Id(3)]
    public required TimeSpan Total { get; init; }

    /// <summary>The longest that one of the guests stood still; zero where none moved.</summary>
    [Id(4)]
    public required TimeSpan LongestBlackout { get; init; }

    [Id(5)]
    public required double SpreadBefore { get; init; }

    /// <summary>Measured at the end, with the load as it is then.</summary>
    [Id(6)]
    public required double SpreadAfter { get; init; }
}
