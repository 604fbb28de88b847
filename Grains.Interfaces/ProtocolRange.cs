using System.Globalization;

namespace Godwit.Grains.Interfaces;

/// <summary>
/// The versions of what silos say to one another (grain calls, records, data connections) that a build understands: its own
/// and the one before it, so that a cluster's silos can be replaced one by one.
/// </summary>
/// <param name="Current">What it speaks.</param>
/// <param name="Oldest">What it still understands.</param>
[GenerateSerializer, Alias("Godwit.ProtocolRange"), Immutable]
public sealed record ProtocolRange([property: Id(0)] int Current, [property: Id(1)] int Oldest)
{
    /// <summary>
    /// This build's. 1: the first silos, which told no version. 2: versions, offers (vCPUs, load, CPU levels, labels), constraints
    /// and rebalancing.
    /// </summary>
    public static ProtocolRange OfThisBuild { get; } = new(2, 1);

    /// <summary>What silos that tell no version understand.</summary>
    public static ProtocolRange First { get; } = new(1, 1);

    /// <summary>Two builds can be in one cluster when there is a version that both understand.</summary>
    public bool FitsWith(ProtocolRange other) => Current >= other.Oldest && other.Current >= Oldest;

    public override string ToString() => Current == Oldest
        ? Current.ToString(CultureInfo.InvariantCulture)
        : string.Create(CultureInfo.InvariantCulture, $"{Oldest} to {Current}");
}
