namespace Godwit.Grains.Interfaces.Vms;

/// <summary>What becomes of a VM whose silo dies, freezes or is cut off.</summary>
public enum RestartMode
{
    /// <summary>Nothing: it is lost until somebody starts it.</summary>
    None = 0,

    /// <summary>It boots again on another silo.</summary>
    Restart = 1,

    /// <summary>It goes on from its last checkpoint on another silo; before there is one it boots again.</summary>
    Checkpoint = 2,
}

/// <summary>A VM's restart policy; it may be changed at any time. A guest that ends by itself, or by command, has ended.</summary>
[GenerateSerializer, Alias("Godwit.RestartPolicy"), Immutable]
public sealed record RestartPolicy
{
    public static readonly TimeSpan DefaultInterval = TimeSpan.FromSeconds(5);
    public static readonly TimeSpan LeastInterval = TimeSpan.FromSeconds(1);
    public static readonly TimeSpan MostInterval = TimeSpan.FromDays(1);

    /// <summary>What a VM has that was created without one. Made after the intervals, which are its defaults.</summary>
    public static RestartPolicy None { get; } = new();

    [Id(0)]
    public RestartMode Mode { get; init; }

    /// <summary>From one checkpoint to the next, at least; 1 s to a day.</summary>
    [Id(1)]
    public TimeSpan CheckpointEvery { get; init; } = DefaultInterval;

    public override string ToString() => Mode == RestartMode.Checkpoint ? $"checkpoint every {CheckpointEvery.TotalSeconds:0.###} s" : Mode.ToString().ToLowerInvariant();
}

/// <summary>The checkpoint from which a VM would go on.</summary>
[GenerateSerializer, Alias("Godwit.CheckpointInfo"), Immutable]
public sealed record CheckpointInfo
{
    [Id(0)]
    public required long Number { get; init; }

    /// <summary>The epoch under which it was taken.</summary>
    [Id(1)]
    public required long Epoch { get; init; }

    [Id(2)]
    public required DateTimeOffset TakenAt { get; init; }

    /// <summary>Files of its chain: a whole one, and those that continue it.</summary>
    [Id(3)]
    public required int Files { get; init; }

    /// <summary>Of all of them.</summary>
    [Id(4)]
    public required long Bytes { get; init; }
}

/// <summary>What a silo has measured of the checkpoints of a VM since the VM came to it.</summary>
[GenerateSerializer, Alias("Godwit.CheckpointFigures"), Immutable]
public sealed record CheckpointFigures
{
    [Id(0)]
    public required long Taken { get; init; }

    /// <summary>For how long the guest stood still for the latest one, in the middle, and at most.</summary>
    [Id(1)]
    public required TimeSpan LastPause { get; init; }

    [Id(2)]
    public required TimeSpan MedianPause { get; init; }

    [Id(3)]
    public required TimeSpan MaxPause { get; init; }

    /// <summary>The latest one's file.</summary>
    [Id(4)]
    public required long LastBytes { get; init; }

    /// <summary>What the latest one took in all, most of it beside the running guest.</summary>
    [Id(5)]
    public required TimeSpan LastDuration { get; init; }

    /// <summary>Why the latest attempt failed, one line; null where it did not.</summary>
    [Id(6)]
    public string? Error { get; init; }
}

/// <summary>The latest time that another silo took the VM over.</summary>
[GenerateSerializer, Alias("Godwit.RecoveryInfo"), Immutable]
public sealed record RecoveryInfo
{
    /// <summary>The epoch that it began.</summary>
    [Id(0)]
    public required long Epoch { get; init; }

    /// <summary>The silo that was lost, by name.</summary>
    [Id(1)]
    public string? LostSilo { get; init; }

    /// <summary>The checkpoint that it went on from; null: it booted again.</summary>
    [Id(2)]
    public long? Checkpoint { get; init; }
}

/// <summary>The console went back: from this epoch on it goes on at an offset, and what was shown beyond that before is void.</summary>
[GenerateSerializer, Alias("Godwit.ConsoleRollback"), Immutable]
public sealed record ConsoleRollback
{
    [Id(0)]
    public required long Epoch { get; init; }

    [Id(1)]
    public required long Offset { get; init; }
}
