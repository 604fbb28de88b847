using MessagePack;

namespace Godwit.Engine.Devices.Power;

/// <summary>The saved state of the ACPI fixed hardware. Keys are append-only.</summary>
[MessagePackObject]
public sealed record AcpiPmState
{
    /// <summary>PM1 status: bit 0 timer, bit 8 power button.</summary>
    [Key(0)]
    public required ushort Status { get; init; }

    [Key(1)]
    public required ushort Enable { get; init; }

    /// <summary>PM1 control without SCI_EN, which is always set.</summary>
    [Key(2)]
    public required ushort Control { get; init; }

    /// <summary>Guest time up to which overflows of the timer are known.</summary>
    [Key(3)]
    public required ulong OverflowsKnownUntil { get; init; }
}
