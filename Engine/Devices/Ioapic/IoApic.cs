using Godwit.Engine.Devices.Interrupts;

namespace Godwit.Engine.Devices.Ioapic;

/// <summary>
/// An I/O APIC with 24 inputs (Intel 82093AA data sheet; version 0x20 with an EOI register as in later chipsets).
/// Inputs are logical: asserted is true whatever the polarity bit says.
/// </summary>
public sealed class IoApic(IApicBus bus) : IMmioDevice, IInterruptInputs, ISavedState<IoApicState>
{
    public const ulong DefaultBase = 0xfec00000;

    public const ulong PageLength = 0x1000;

    public const int PinCount = 24;

    private const ulong SelectOffset = 0x00, WindowOffset = 0x10, EoiOffset = 0x40;
    private const uint Version = (PinCount - 1) << 16 | 0x20;
    private const int FirstRedirection = 0x10;

    private const ulong LogicalDestination = 1 << 11, RemoteIrr = 1 << 14, Level = 1 << 15, Masked = 1 << 16;
    private const ulong Writable = 0xff00_0000_0001_afff, Implemented = Writable | RemoteIrr;

    private readonly ulong[] _entries = CreateEntries();
    private uint _inputs;
    private byte _select, _id;

    public Action<int>? Observing { get; set; }

    public bool IsMasked(int pin) => (_entries[pin] & Masked) != 0;

    public void SetInput(int pin, bool level)
    {
        uint bit = 1u << pin;
        bool rises = level && (_inputs & bit) == 0;
        _inputs = level ? _inputs | bit : _inputs & ~bit;
        if ((_entries[pin] & Level) != 0)
            ServeLevel(pin);
        else if (rises && !IsMasked(pin))
            Send(pin);
    }

    /// <summary>A local APIC has ended a level-triggered interrupt with this vector; an input still asserted is sent again.</summary>
    public void EndOfInterrupt(byte vector)
    {
        for (int pin = 0; pin < PinCount; pin++)
        {
            if ((byte)_entries[pin] != vector || (_entries[pin] & RemoteIrr) == 0)
                continue;
            _entries[pin] &= ~RemoteIrr;
            ServeLevel(pin);
        }
    }

    public ulong ReadMmio(ulong offset, int size)
    {
        ulong value = (offset & ~3ul) switch
        {
            SelectOffset => _select,
            WindowOffset => ReadRegister(),
            _ => 0,
        };
        return value >> (int)(8 * (offset & 3)) & ulong.MaxValue >> (64 - size * 8);
    }

    public void WriteMmio(ulong offset, int size, ulong value)
    {
        switch (offset)
        {
            case SelectOffset:
                _select = (byte)value;
                break;
            // Registers are 32 bits wide; a narrower write has no defined effect.
            case WindowOffset when size >= 4:
                WriteRegister((uint)value);
                break;
            case EoiOffset:
                EndOfInterrupt((byte)value);
                break;
        }
    }

    public IoApicState SaveState() => new()
    {
        Select = _select,
        Id = _id,
        Redirections = [.. _entries],
        Inputs = _inputs,
    };

    public void LoadState(IoApicState state)
    {
        if (state.Redirections is not { Length: PinCount })
            throw new InvalidStateException($"I/O APIC: there must be {PinCount} redirection entries");
        foreach (ulong entry in state.Redirections)
            if ((entry & ~Implemented) != 0 || (entry & (RemoteIrr | Level)) == RemoteIrr)
                throw new InvalidStateException($"I/O APIC: a redirection entry cannot be 0x{entry:x}");
        if (state.Id > 15)
            throw new InvalidStateException($"I/O APIC: identifier cannot be {state.Id}");
        if (state.Inputs >> PinCount != 0)
            throw new InvalidStateException($"I/O APIC: inputs cannot be 0x{state.Inputs:x}");
        _select = state.Select;
        _id = state.Id;
        _inputs = state.Inputs;
        state.Redirections.CopyTo(_entries, 0);
    }

    private static ulong[] CreateEntries()
    {
        ulong[] entries = new ulong[PinCount];
        Array.Fill(entries, Masked);
        return entries;
    }

    private uint ReadRegister() => _select switch
    {
        0 or 2 => (uint)_id << 24,
        1 => Version,
        >= FirstRedirection and < FirstRedirection + 2 * PinCount => (uint)(_entries[(_select - FirstRedirection) / 2] >> (_select % 2 * 32)),
        _ => 0,
    };

    private void WriteRegister(uint value)
    {
        if (_select == 0)
            _id = (byte)(value >> 24 & 0xf);
        if (_select is < FirstRedirection or >= FirstRedirection + 2 * PinCount)
            return;
        int pin = (_select - FirstRedirection) / 2;
        ulong before = _entries[pin];
        ulong merged = _select % 2 == 0 ? before & 0xffffffff_00000000 | value : before & 0xffffffff | (ulong)value << 32;
        ulong after = merged & Writable | before & RemoteIrr;
        // An edge-triggered entry has no remote IRR; this is how software clears a stuck one.
        if ((after & Level) == 0)
            after &= ~RemoteIrr;
        if ((before & Masked) != 0 && (after & Masked) == 0)
            Observing?.Invoke(pin);
        _entries[pin] = after;
        if ((after & Level) != 0)
            ServeLevel(pin);
    }

    private void ServeLevel(int pin)
    {
        if ((_inputs >> pin & 1) != 0 && (_entries[pin] & (Masked | RemoteIrr)) == 0 && Send(pin))
            _entries[pin] |= RemoteIrr;
    }

    private bool Send(int pin)
    {
        ulong entry = _entries[pin];
        uint destination = (uint)(entry >> 56);
        DeliveryMode mode = (DeliveryMode)(entry >> 8 & 7);
        bool logical = (entry & LogicalDestination) != 0;
        bool level = (entry & Level) != 0 && mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority;
        bool taken = bus.Send(new InterruptMessage(destination == 0xff ? ApicBus.Broadcast : destination, logical, mode, (byte)entry, level));
        return taken && level;
    }
}
