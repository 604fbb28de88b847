using Godwit.Guest.Benchmarks.Machines;

namespace Godwit.Guest.Benchmarks;

/// <summary>What to measure.</summary>
internal sealed record BenchmarkOptions
{
    /// <summary>Of "kernels", "user", "boot" and "dirty".</summary>
    public required IReadOnlyList<string> Suites { get; init; }

    /// <summary>The machines to compare, in the order of their turns; native is always the first.</summary>
    public required IReadOnlyList<MachineKind> Machines { get; init; }

    /// <summary>Turns of each job; the least time counts.</summary>
    public required int Repetitions { get; init; }

    /// <summary>Multiplies every job's count.</summary>
    public required double Scale { get; init; }

    /// <summary>Only jobs whose name contains this.</summary>
    public required string? Only { get; init; }
}
