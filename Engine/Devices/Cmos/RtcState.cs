using MessagePack;

namespace Godwit.Engine.Devices.Cmos;

/// <summary>The real-time clock's saved state. Keys are append-only.</summary>
[MessagePackObject]
public sealed record RtcState
{
    /// <summary>The 128 bytes of CMOS; the time registers count only while the guest is setting them.</summary>
    [Key(0)]
    public required byte[] Cmos { get; init; }

    [Key(1)]
    public required byte Index { get; init; }

    [Key(2)]
    public required bool NmiDisabled { get; init; }

    /// <summary>Nanoseconds by which the guest's clock is ahead of the wall clock.</summary>
    [Key(3)]
    public required long OffsetNanoseconds { get; init; }

    /// <summary>The guest has written a time register since it stopped updates.</summary>
    [Key(4)]
    public required bool TimeWritten { get; init; }

    /// <summary>Guest time up to which the periodic flag is known.</summary>
    [Key(5)]
    public required ulong PeriodsKnownUntil { get; init; }

    /// <summary>What the clock showed, in nanoseconds since the Unix epoch, when the update and alarm flags were last worked out.</summary>
    [Key(6)]
    public required long UpdatesKnownUntil { get; init; }
}
