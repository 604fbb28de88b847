namespace Godwit.Grains.Interfaces.Vms;

/// <summary>A piece of a VM's console. Offsets count bytes since the guest booted and go on over migrations.</summary>
[GenerateSerializer, Alias("Godwit.ConsoleSegment"), Immutable]
public sealed record ConsoleSegment
{
    /// <summary>The epoch at which the guest booted: a new one starts its offsets at 0.</summary>
    [Id(0)]
    public required long BootEpoch { get; init; }

    /// <summary>The epoch of the copy that answers; a reader refuses one below an epoch it has seen.</summary>
    [Id(1)]
    public required long Epoch { get; init; }

    /// <summary>Offset of the first byte; past the one asked for where the ring has already overwritten that.</summary>
    [Id(2)]
    public required long Offset { get; init; }

    [Id(3)]
    public required byte[] Bytes { get; init; }

    /// <summary>The guest has ended; no further byte will come in this boot.</summary>
    [Id(4)]
    public required bool Ended { get; init; }

    /// <summary>When the guest of this boot went back to a checkpoint, oldest first; none in most lives.</summary>
    [Id(5)]
    public IReadOnlyList<ConsoleRollback> Rollbacks { get; init; } = [];

    /// <summary>
    /// Set for a reader that had already been given bytes beyond <see cref="Offset"/>: the guest has gone back to a
    /// checkpoint, and what it had from there up to this offset is void. Null otherwise.
    /// </summary>
    [Id(6)]
    public long? VoidUpTo { get; init; }
}
