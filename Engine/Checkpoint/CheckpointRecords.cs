namespace Godwit.Engine.Checkpoint;

/// <summary>Which checkpoint to write.</summary>
/// <param name="Number">Its number; rises from one to the next.</param>
/// <param name="Kept">The latest checkpoint of this machine that its host has kept; 0: none.</param>
/// <param name="Whole">Write all of the machine instead of continuing the kept one.</param>
public sealed record CheckpointRequest(long Number, long Kept, bool Whole)
{
    /// <summary>The checkpoint that this one continues; 0: none, it is whole.</summary>
    public long Since => Whole ? 0 : Kept;
}

/// <summary>A checkpoint that was written; it counts once its host has kept it.</summary>
public sealed record CheckpointReport
{
    public required long Number { get; init; }

    /// <summary>0: it is whole.</summary>
    public required long Since { get; init; }

    /// <summary>Pages with contents.</summary>
    public required long Pages { get; init; }

    /// <summary>Pages that have become zero or free since.</summary>
    public required long ZeroPages { get; init; }

    /// <summary>Length of the file.</summary>
    public required long Bytes { get; init; }

    /// <summary>From the guest's last instruction before the checkpoint to its next one; zero where it was paused anyway.</summary>
    public required TimeSpan Pause { get; init; }

    /// <summary>All of the work, most of it beside the running guest.</summary>
    public required TimeSpan Duration { get; init; }

    /// <summary>Of memory and state at this checkpoint, the whole chain together: 32 hexadecimal digits.</summary>
    public required string Digest { get; init; }

    /// <summary>Console bytes since boot, at this checkpoint.</summary>
    public required long ConsoleEnd { get; init; }
}
