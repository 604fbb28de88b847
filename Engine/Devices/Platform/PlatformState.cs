using Godwit.Engine.Devices.Cmos;
using Godwit.Engine.Devices.DebugPort;
using Godwit.Engine.Devices.Ioapic;
using Godwit.Engine.Devices.Keyboard;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Devices.Pic;
using Godwit.Engine.Devices.Pit;
using Godwit.Engine.Devices.Power;
using Godwit.Engine.Devices.Serial;
using MessagePack;

namespace Godwit.Engine.Devices.Platform;

/// <summary>The saved state of every device of <see cref="PcPlatform"/>. Keys are append-only.</summary>
[MessagePackObject]
public sealed record PlatformState
{
    /// <summary>By vCPU.</summary>
    [Key(0)]
    public required LocalApicState[] LocalApics { get; init; }

    [Key(1)]
    public required IoApicState IoApic { get; init; }

    [Key(2)]
    public required PicState Pic { get; init; }

    [Key(3)]
    public required PitState Pit { get; init; }

    [Key(4)]
    public required RtcState Rtc { get; init; }

    [Key(5)]
    public required UartState Uart { get; init; }

    [Key(6)]
    public required AcpiPmState Pm { get; init; }

    [Key(7)]
    public required ResetPortState ResetPort { get; init; }

    [Key(8)]
    public required I8042State Keyboard { get; init; }

    [Key(9)]
    public required PostPortState Post { get; init; }
}
