using Xunit;

// Collections that start processes spend most of their time waiting for them.
[assembly: CollectionBehavior(MaxParallelThreads = 3)]

namespace Godwit.Cluster.Tests.Processes;

/// <summary>A test on a cluster that it shares with others: whatever it leaves behind is taken away when it ends.</summary>
public abstract class OnTwoSilos(TwoSilos cluster) : IAsyncLifetime
{
    protected TwoSilos Cluster { get; } = cluster;

    public Task InitializeAsync() => Task.CompletedTask;

    public virtual Task DisposeAsync() => Cluster.RestoreAsync();
}

/// <summary>Tests that leave the silos whole.</summary>
[CollectionDefinition(Name)]
public sealed class TwoSilosCollection : ICollectionFixture<TwoSilos>
{
    public const string Name = "two silos";
}

/// <summary>Two silos that soon take notice of the death of a third.</summary>
public sealed class DyingSilos : TwoSilos
{
    protected override string Lease => "2";

    protected override string FailureDetection => "2.5";
}

/// <summary>Tests that add silos to kill or freeze them: most of their time they wait for leases to end.</summary>
[CollectionDefinition(Name)]
public sealed class DyingSilosCollection : ICollectionFixture<DyingSilos>
{
    public const string Name = "dying silos";
}

/// <summary>Tests that add silos which leave in good order.</summary>
[CollectionDefinition(Name)]
public sealed class LeavingSilosCollection : ICollectionFixture<TwoSilos>
{
    public const string Name = "leaving silos";
}
