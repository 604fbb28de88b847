namespace Godwit.Engine.Migration;

/// <summary>What a frame of the migration stream carries; the numbers are the protocol (docs/migration.md, "The stream").</summary>
internal enum FrameType : byte
{
    /// <summary>Both: 8 bytes of magic, lowest and highest version spoken (u16 each); the answer names one version twice.</summary>
    Hello = 1,

    /// <summary>Source: u32, to be echoed; both sides take the link's delay from these.</summary>
    Ping = 2,

    /// <summary>Target: the u32 of the ping.</summary>
    Pong = 3,

    /// <summary>Source: what is to be moved, see <see cref="Offer"/>.</summary>
    Offer = 4,

    /// <summary>Target: the machine is prepared.</summary>
    Accept = 5,

    /// <summary>Target: it will not take the machine; UTF-8 reason.</summary>
    Refuse = 6,

    /// <summary>Source: page entries, see <see cref="PageBatch"/>.</summary>
    Pages = 7,

    /// <summary>Source: u32 number of the round that ends here.</summary>
    RoundEnd = 8,

    /// <summary>Target: the u32; everything before has been stored.</summary>
    RoundAck = 9,

    /// <summary>Source: about to stop the guest. Bounds how much time the target can be told has passed.</summary>
    Stopping = 10,

    /// <summary>Source: ascending page ranges (u32 first, u32 count) that are free and become holes.</summary>
    Free = 11,

    /// <summary>Source: u32 bytes of CPU and device state that follow in chunks.</summary>
    StateBegin = 12,

    StateChunk = 13,

    /// <summary>Source: everything has been sent, see <see cref="FinalFrame"/>.</summary>
    Final = 14,

    /// <summary>Source: XxHash128 of all RAM, 16 bytes.</summary>
    RamHash = 15,

    /// <summary>Target: it has all and it is right; 16 bytes of RAM hash or nothing.</summary>
    Verified = 16,

    /// <summary>Target: the record is its own; i64 epoch.</summary>
    Committed = 17,

    /// <summary>Target: the guest runs there, see <see cref="RunningFrame"/>.</summary>
    Running = 18,

    /// <summary>Source: it has let go.</summary>
    Done = 19,

    /// <summary>Both: still there.</summary>
    Alive = 20,

    /// <summary>Both: it ends here; UTF-8 reason.</summary>
    Abort = 21,
}

/// <summary>Sizes and versions of the stream.</summary>
internal static class Wire
{
    internal const ushort Version = 1;

    internal const int HeaderBytes = 5;

    /// <summary>The largest payload a reader takes.</summary>
    internal const int MaxPayload = 1 << 19;

    internal const int MaxReason = 1024;

    /// <summary>Bytes of one piece of state.</summary>
    internal const int StateChunk = 1 << 18;

    /// <summary>CPU and device state of a machine, all sections together.</summary>
    internal const int MaxState = 1 << 26;

    internal const int FreeRangesPerFrame = 1 << 15;

    /// <summary>Rounds that a target keeps account of.</summary>
    internal const int MaxRounds = 10_000;

    /// <summary>Round trips measured when the link is new.</summary>
    internal const int Pings = 4;

    internal static ReadOnlySpan<byte> Magic => "GODWITMG"u8;
}

/// <summary>The stream broke, fell silent or carried what it must not; the message is one line.</summary>
internal sealed class LinkException(string message, Exception? inner = null) : Exception(message, inner);
