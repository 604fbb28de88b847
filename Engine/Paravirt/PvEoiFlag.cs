using System.Buffers.Binary;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt;

/// <summary>
/// The guest's PV EOI flag: bit 0 of a 4-byte word named by MSR_KVM_PV_EOI_EN. The local APIC sets it when an interrupt
/// may end without a write to the APIC; the guest ends the interrupt by clearing it.
/// </summary>
public sealed class PvEoiFlag(GuestMemory memory) : IPvEoi
{
    private const ulong Enabled = 1;
    private const uint Pending = 1;

    /// <summary>The MSR's value: bit 0 enabled, bits 63 to 2 the flag's address.</summary>
    public ulong Msr { get; internal set; }

    /// <inheritdoc/>
    public bool TryArm() => (Msr & Enabled) != 0 && Write(Pending);

    /// <inheritdoc/>
    public bool TryConsume()
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        if (!memory.TryRead(Address, word))
            return false;
        if ((word[0] & Pending) == 0)
            return true;
        Write(0);
        return false;
    }

    private GuestPhysicalAddress Address => new(Msr & ~3ul);

    private bool Write(uint value)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        return memory.TryWrite(Address, word);
    }
}
