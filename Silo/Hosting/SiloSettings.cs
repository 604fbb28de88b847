using System.Net;
using Godwit.Access;
using Godwit.Grains.Interfaces;
using Godwit.Silo.Machines;

namespace Godwit.Silo.Hosting;

/// <summary>What one silo process is told on its command line.</summary>
public sealed record SiloSettings
{
    /// <summary>The store, and the way in.</summary>
    public required StoreLogin Store { get; init; }

    /// <summary>Name by which people and commands know the silo.</summary>
    public required string Name { get; init; }

    /// <summary>Where it listens, and how others reach it.</summary>
    public IPAddress Address { get; init; } = IPAddress.Loopback;

    /// <summary>Port for other silos; 0: a free one.</summary>
    public int SiloPort { get; init; }

    /// <summary>Port for clients; 0: a free one.</summary>
    public int GatewayPort { get; init; }

    /// <summary>Port for migrations; 0: a free one.</summary>
    public int DataPort { get; init; }

    /// <summary>Guest memory that this silo may hold, in bytes.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>What it has for guests besides memory.</summary>
    public required SiloFeatures Features { get; init; }

    /// <summary>What makes it one of its cluster.</summary>
    public required Membership Membership { get; init; }

    /// <summary>How long a lease on a VM lasts.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>What a taker waits beyond a lease.</summary>
    public TimeSpan LeaseMargin { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Where checkpoints are kept.</summary>
    public required string CheckpointFolder { get; init; }

    /// <summary>About how long it takes until a silo that has died is known to be dead.</summary>
    public TimeSpan FailureDetection { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long moving the guests elsewhere may take when this silo is told to stop; zero: they are stopped at once.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>Protocol versions that it understands.</summary>
    public ProtocolRange Protocol { get; init; } = ProtocolRange.OfThisBuild;

    public LogLevel LogLevel { get; init; } = LogLevel.Warning;
}
