using MessagePack;

namespace Godwit.Engine.Devices.Pit;

/// <summary>The saved state of the 8254 and of port 0x61. Keys are append-only.</summary>
[MessagePackObject]
public sealed record PitState
{
    [Key(0)]
    public required PitCounterState[] Counters { get; init; }

    /// <summary>The writable bits 0 to 3 of port 0x61.</summary>
    [Key(1)]
    public required byte ControlPort { get; init; }

    /// <summary>Guest time up to which edges of counter 0 have reached its line.</summary>
    [Key(2)]
    public required ulong EdgesSeenUntil { get; init; }
}

/// <summary>One counter.</summary>
[MessagePackObject]
public sealed record PitCounterState
{
    /// <summary>0 to 5.</summary>
    [Key(0)]
    public required byte Mode { get; init; }

    /// <summary>1 low byte, 2 high byte, 3 low then high.</summary>
    [Key(1)]
    public required byte ByteSelect { get; init; }

    [Key(2)]
    public required bool Bcd { get; init; }

    [Key(3)]
    public required bool Gate { get; init; }

    /// <summary>Ticks of one count, 1 to 65536; 0 while no count has been written since the mode was.</summary>
    [Key(4)]
    public required uint Period { get; init; }

    /// <summary>The period that follows the current one; 0 for the same again.</summary>
    [Key(5)]
    public required uint NextPeriod { get; init; }

    /// <summary>Guest time at which the count began; null while it stands.</summary>
    [Key(6)]
    public required ulong? Started { get; init; }

    /// <summary>Ticks counted before the gate stopped it.</summary>
    [Key(7)]
    public required ulong HeldTicks { get; init; }

    /// <summary>The low byte of a count half written.</summary>
    [Key(8)]
    public required byte? HalfWritten { get; init; }

    /// <summary>Whether the next read gives the high byte of a two-byte value.</summary>
    [Key(9)]
    public required bool ReadsHigh { get; init; }

    [Key(10)]
    public required ushort? LatchedCount { get; init; }

    [Key(11)]
    public required byte? LatchedStatus { get; init; }
}
