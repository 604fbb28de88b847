using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Ownership;

/// <summary>What the record says of a VM.</summary>
public enum OwnershipState
{
    /// <summary>Nobody may run it.</summary>
    Stopped = 0,

    /// <summary><see cref="OwnershipRecord.Owner"/> may run it, while its lease lasts.</summary>
    Running = 1,

    /// <summary>Nobody runs it: the owner has stopped it and only <see cref="OwnershipRecord.Target"/>'s commit or the owner's return changes that.</summary>
    Moving = 2,
}

/// <summary>
/// Who may run a VM (docs/migration.md). Changed only by compare-and-swap on <see cref="Version"/>; epochs only rise.
/// </summary>
public sealed record OwnershipRecord
{
    /// <summary>Unique to this one write: a compare-and-swap that is asked again recognises its own.</summary>
    public required string Version { get; init; }

    public required OwnershipState State { get; init; }

    /// <summary>Address of the silo that owns it or, where stopped, owned it last; null before the first start.</summary>
    public string? Owner { get; init; }

    public string? OwnerName { get; init; }

    /// <summary>While moving: the silo that may commit.</summary>
    public string? Target { get; init; }

    /// <summary>While moving, and until the target has reported that it runs: the migration's job.</summary>
    public string? Attempt { get; init; }

    /// <summary>Rises with every change of owner; a running copy carries the epoch it was granted.</summary>
    public required long Epoch { get; init; }

    /// <summary>The epoch at which the guest booted.</summary>
    public required long BootEpoch { get; init; }

    /// <summary>Count of the owner's lease renewals: a reader that sees it stand still for lease and margin knows that the lease has run out.</summary>
    public long Renewals { get; init; }

    /// <summary>The owner's lease.</summary>
    public TimeSpan Lease { get; init; }

    /// <summary>False between a target's commit and its report that it runs: only then the source may take the VM back.</summary>
    public bool Confirmed { get; init; } = true;

    /// <summary>Why it is stopped, one line.</summary>
    public string? Reason { get; init; }

    public int? ExitCode { get; init; }

    /// <summary>The latest migration, to find its job by the VM's name.</summary>
    public LastMove? LastMove { get; init; }

    /// <summary>The checkpoint that is complete and current; only the owner sets it, by the same compare-and-swap as everything else.</summary>
    public CheckpointMark? Checkpoint { get; init; }

    /// <summary>Where the console of this boot went back, oldest first, see <see cref="Takeover"/>; null: nowhere.</summary>
    public IReadOnlyList<ConsoleRollback>? Rollbacks { get; init; }

    /// <summary>The latest takeover since the last start.</summary>
    public RecoveryInfo? Recovery { get; init; }

    /// <summary>The first record of a VM: created, never started.</summary>
    public static OwnershipRecord Initial() => new()
    {
        Version = NewVersion(),
        State = OwnershipState.Stopped,
        Epoch = 0,
        BootEpoch = 0,
        Reason = "never started",
    };

    /// <summary>This record under a new version, to be changed with <c>with</c>.</summary>
    public OwnershipRecord Next() => this with { Version = NewVersion() };

    private static string NewVersion() => Guid.NewGuid().ToString("N");
}

/// <summary>Names a migration job: the source's silo holds it.</summary>
public sealed record LastMove(string Job, string Source, string SourceName, string Target, string TargetName);

/// <summary>A checkpoint that is complete where its store is.</summary>
public sealed record CheckpointMark
{
    public required long Number { get; init; }

    /// <summary>The epoch under which it was taken.</summary>
    public required long Epoch { get; init; }

    /// <summary>Names the checkpoint store that holds the files.</summary>
    public required string Store { get; init; }

    /// <summary>A whole one, and those that continue it, in order.</summary>
    public required IReadOnlyList<string> Files { get; init; }

    /// <summary>Of all files.</summary>
    public required long Bytes { get; init; }

    /// <summary>What memory and state must have once restored.</summary>
    public required string Digest { get; init; }

    /// <summary>The VM was paused by command.</summary>
    public required bool Paused { get; init; }

    public required DateTimeOffset TakenAt { get; init; }
}
