namespace Godwit.Grains.Interfaces.Vms;

/// <summary>A time in which one silo ran a VM's guest code, by that machine's CLOCK_MONOTONIC (Stopwatch ticks).</summary>
[GenerateSerializer, Alias("Godwit.RunInterval"), Immutable]
public sealed record RunInterval
{
    [Id(0)]
    public required string SiloAddress { get; init; }

    [Id(1)]
    public required long Epoch { get; init; }

    [Id(2)]
    public required long Started { get; init; }

    /// <summary>Null while it runs.</summary>
    [Id(3)]
    public required long? Stopped { get; init; }

    /// <summary>Why it stopped, one line.</summary>
    [Id(4)]
    public string? Reason { get; init; }

    [Id(5)]
    public string SiloName { get; init; } = "";
}

/// <summary>A guest's Log hypercall.</summary>
[GenerateSerializer, Alias("Godwit.GuestMark"), Immutable]
public sealed record GuestMark
{
    /// <summary>Stopwatch ticks of the silo's machine.</summary>
    [Id(0)]
    public required long Timestamp { get; init; }

    [Id(1)]
    public required long Epoch { get; init; }

    [Id(2)]
    public required ulong GuestNanoseconds { get; init; }

    [Id(3)]
    public required ulong Code { get; init; }

    [Id(4)]
    public required ulong Value { get; init; }
}

/// <summary>What one silo has recorded of a VM's runs, oldest first; kept after the VM has left.</summary>
[GenerateSerializer, Alias("Godwit.RunHistory"), Immutable]
public sealed record RunHistory
{
    [Id(0)]
    public required IReadOnlyList<RunInterval> Intervals { get; init; }

    [Id(1)]
    public required IReadOnlyList<GuestMark> Marks { get; init; }

    /// <summary>Ticks a second of all timestamps here (Stopwatch.Frequency).</summary>
    [Id(2)]
    public required long TicksPerSecond { get; init; }
}
