using MessagePack;

namespace Godwit.Engine.Devices.Lapic;

/// <summary>A local APIC's saved state. Keys are append-only.</summary>
[MessagePackObject]
public sealed record LocalApicState
{
    /// <summary>The register page: 64 registers, the one at page offset 16*n at index n, in the layout of the current mode.</summary>
    [Key(0)]
    public required uint[] Registers { get; init; }

    /// <summary>IA32_APIC_BASE.</summary>
    [Key(1)]
    public required ulong ApicBase { get; init; }

    /// <summary>Guest nanoseconds at which the timer's count reaches zero next; null when it does not count.</summary>
    [Key(2)]
    public required ulong? TimerExpiry { get; init; }

    /// <summary>IA32_TSC_DEADLINE, in TSC ticks; 0 when not armed.</summary>
    [Key(3)]
    public required ulong TscDeadline { get; init; }

    /// <summary>Errors since the last write to the error status register.</summary>
    [Key(4)]
    public required byte PendingErrors { get; init; }

    /// <summary>Levels of the two local inputs.</summary>
    [Key(5)]
    public required bool Lint0 { get; init; }

    [Key(6)]
    public required bool Lint1 { get; init; }

    [Key(7)]
    public required bool NmiPending { get; init; }

    /// <summary>An ExtINT message has come and the 8259 has not been asked for its vector.</summary>
    [Key(8)]
    public required bool ExternalPending { get; init; }

    [Key(9)]
    public required bool InitPending { get; init; }

    /// <summary>The vector of a start-up message that waits; null when none does.</summary>
    [Key(10)]
    public required byte? StartupVector { get; init; }

    /// <summary>The guest may end the interrupt in service by clearing its PV EOI bit.</summary>
    [Key(11)]
    public required bool PvEoiArmed { get; init; }
}
