using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>What <c>cluster status</c> prints.</summary>
[GenerateSerializer, Alias("Godwit.ClusterStatus"), Immutable]
public sealed record ClusterStatus
{
    [Id(0)]
    public required IReadOnlyList<SiloInfo> Silos { get; init; }

    /// <summary>What each live silo finds when it asks the store; those that did not answer are left out.</summary>
    [Id(1)]
    public required IReadOnlyList<StoreHealth> Store { get; init; }

    /// <summary>How unevenly the serving silos are used; see <see cref="RebalancePlan"/>.</summary>
    [Id(2)]
    public required double Spread { get; init; }

    /// <summary>Migrations under way.</summary>
    [Id(3)]
    public required IReadOnlyList<MigrationTicket> Migrations { get; init; }
}

/// <summary>The store as one silo sees it.</summary>
[GenerateSerializer, Alias("Godwit.StoreHealth"), Immutable]
public sealed record StoreHealth
{
    [Id(0)]
    public required string Silo { get; init; }

    /// <summary>Null where it answered; otherwise what is wrong, one line.</summary>
    [Id(1)]
    public required string? Problem { get; init; }

    /// <summary>Time of a question and its answer.</summary>
    [Id(2)]
    public required TimeSpan RoundTrip { get; init; }
}
