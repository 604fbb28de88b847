using MessagePack;

namespace Godwit.Engine.Devices.Serial;

/// <summary>The 16550's saved state. Keys are append-only.</summary>
[MessagePackObject]
public sealed record UartState
{
    [Key(0)]
    public required byte InterruptEnable { get; init; }

    /// <summary>FIFO control: bit 0 enabled, bits 6 and 7 the trigger level.</summary>
    [Key(1)]
    public required byte FifoControl { get; init; }

    [Key(2)]
    public required byte LineControl { get; init; }

    [Key(3)]
    public required byte ModemControl { get; init; }

    /// <summary>Delta bits 0 to 3 of the modem status.</summary>
    [Key(4)]
    public required byte ModemDeltas { get; init; }

    [Key(5)]
    public required byte Scratch { get; init; }

    [Key(6)]
    public required ushort Divisor { get; init; }

    [Key(7)]
    public required bool Overrun { get; init; }

    [Key(8)]
    public required bool TransmitInterrupt { get; init; }

    /// <summary>Bytes in the receive FIFO, at most 16.</summary>
    [Key(9)]
    public required byte[] Received { get; init; }

    /// <summary>Host input that waits for room in the FIFO.</summary>
    [Key(10)]
    public required byte[] HostInput { get; init; }
}
