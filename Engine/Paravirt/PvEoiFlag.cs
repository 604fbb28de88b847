using System.Buffers.Binary;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt;

/// <summary>What a local APIC needs of KVM's PV EOI: an interrupt's end without a write to the APIC.</summary>
public interface IPvEoi
{
    /// <summary>Whether a flag is out: the interrupt in service may end at any instruction without the APIC being told.</summary>
    bool Offered { get; }

    /// <summary>
    /// Called when an interrupt goes in service that is edge-triggered and the only one in service or waiting: sets the
    /// guest's flag. False, and nothing done, where the guest has not asked for it.
    /// </summary>
    bool Offer();

    /// <summary>Whether the guest has taken the offer by clearing the flag: the offer is over and the APIC ends the interrupt in service.</summary>
    bool Taken();

    /// <summary>
    /// Takes the offer back, because another interrupt came that the guest's EOI must let in. Called with the vCPU at an
    /// instruction boundary. True: the guest had taken it already, as with <see cref="Taken"/>.
    /// </summary>
    bool Withdraw();
}

/// <summary>The flag in guest memory: bit 0 of a 4-byte word named by MSR_KVM_PV_EOI_EN.</summary>
public sealed class PvEoiFlag(GuestMemory memory) : IPvEoi
{
    private const ulong Enabled = 1;
    private const uint Pending = 1;

    private ulong _msr;

    /// <summary>The MSR's value: bit 0 enabled, bits 63 to 2 the flag's address. A new value ends an offer.</summary>
    public ulong Msr
    {
        get => _msr;
        set
        {
            _msr = value;
            Offered = false;
        }
    }

    /// <inheritdoc/>
    public bool Offered { get; private set; }

    /// <inheritdoc/>
    public bool Offer()
    {
        if ((_msr & Enabled) == 0)
            return false;
        Offered = Write(Pending);
        return Offered;
    }

    /// <inheritdoc/>
    public bool Taken()
    {
        if (!Offered || IsPending())
            return false;
        Offered = false;
        return true;
    }

    /// <inheritdoc/>
    public bool Withdraw()
    {
        if (!Offered)
            return false;
        Offered = false;
        if (!IsPending())
            return true;
        Write(0);
        return false;
    }

    internal void Load(ulong msr, bool offered)
    {
        _msr = msr;
        Offered = offered && (msr & Enabled) != 0;
    }

    private GuestPhysicalAddress Address => new(_msr & ~3ul);

    private bool IsPending()
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        return memory.TryRead(Address, word) && (word[0] & Pending) != 0;
    }

    private bool Write(uint value)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(word, value);
        return memory.TryWrite(Address, word);
    }
}
