using MessagePack;

namespace Godwit.Engine.Devices.Ioapic;

/// <summary>The I/O APIC's saved state. Keys are append-only.</summary>
[MessagePackObject]
public sealed record IoApicState
{
    [Key(0)]
    public required byte Select { get; init; }

    /// <summary>The identification register's identifier, 0 to 15.</summary>
    [Key(1)]
    public required byte Id { get; init; }

    /// <summary>24 redirection entries as the guest reads them, remote IRR included.</summary>
    [Key(2)]
    public required ulong[] Redirections { get; init; }

    /// <summary>Levels of the inputs, one bit a pin.</summary>
    [Key(3)]
    public required uint Inputs { get; init; }
}
