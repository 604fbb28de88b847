using Godwit.Engine.Devices.Interrupts;

namespace Godwit.Engine.Devices.Pic;

/// <summary>
/// The PC's two cascaded 8259s: ports 0x20 and 0x21, 0xa0 and 0xa1, and the trigger mode registers 0x4d0 and 0x4d1.
/// Until software has initialised them they have a PC's vectors, 0x08 and 0x70, with all inputs masked.
/// </summary>
public sealed class Pic8259 : IInterruptInputs, IVectorSource, ISavedState<PicState>
{
    public const ushort MasterPort = 0x20, SlavePort = 0xa0, TriggerPort = 0x4d0;

    private const int CascadeInput = 2, SpuriousInput = 7;

    private readonly IInterruptLine _output;
    private readonly PicChip _master = new(0x08, 0xf8) { Cascade = 1 << CascadeInput };
    private readonly PicChip _slave = new(0x70, 0xde);

    /// <param name="output">The pair's INTR: LINT0 of the bootstrap processor's local APIC.</param>
    public Pic8259(IInterruptLine output)
    {
        _output = output;
        MasterPorts = new BytePorts(2, offset => Read(_master, 0, offset), (offset, value) => Write(_master, 0, offset, value));
        SlavePorts = new BytePorts(2, offset => Read(_slave, 8, offset), (offset, value) => Write(_slave, 8, offset, value));
        TriggerPorts = new BytePorts(2, offset => Chip(offset).LevelTriggered, (offset, value) =>
        {
            Chip(offset).LevelTriggered = value;
            Update();
        });
    }

    public BytePorts MasterPorts { get; }

    public BytePorts SlavePorts { get; }

    public BytePorts TriggerPorts { get; }

    public Action<int>? Observing { get; set; }

    public bool IsMasked(int pin) => (Chip(pin >> 3).Mask >> (pin & 7) & 1) != 0;

    /// <summary>Sets interrupt request 0 to 15; 2 is the cascade and is ignored.</summary>
    public void SetInput(int pin, bool level)
    {
        if (pin == CascadeInput)
            return;
        Chip(pin >> 3).SetInput(pin & 7, level);
        Update();
    }

    public byte AcknowledgeVector()
    {
        int input = _master.Pending;
        byte vector = (byte)(_master.VectorBase + SpuriousInput);
        if (input == CascadeInput)
        {
            _master.Acknowledge(CascadeInput);
            int second = _slave.Pending;
            if (second >= 0)
                _slave.Acknowledge(second);
            vector = (byte)(_slave.VectorBase + (second >= 0 ? second : SpuriousInput));
        }
        else if (input >= 0)
        {
            _master.Acknowledge(input);
            vector = (byte)(_master.VectorBase + input);
        }
        Update();
        return vector;
    }

    public PicState SaveState() => new() { Master = _master.Save(), Slave = _slave.Save() };

    /// <remarks>The output's level is part of its receiver's state and is not driven here.</remarks>
    public void LoadState(PicState state)
    {
        _master.Validate(state.Master);
        _slave.Validate(state.Slave);
        _master.Load(state.Master);
        _slave.Load(state.Slave);
    }

    private PicChip Chip(int index) => index == 0 ? _master : _slave;

    private byte Read(PicChip chip, int firstPin, int offset)
    {
        if (offset == 0 && chip.ReadsRequests)
            Observe(firstPin, chip.Mask);
        byte value = offset == 0 ? chip.ReadCommand() : chip.ReadData();
        Update();
        return value;
    }

    private void Write(PicChip chip, int firstPin, int offset, byte value)
    {
        if (offset == 1 && chip.DataIsMask)
            Observe(firstPin, (byte)(chip.Mask & ~value));
        else if (offset == 0 && (value & 0x10) != 0)
            Observe(firstPin, chip.Mask);
        if (offset == 0)
            chip.WriteCommand(value);
        else
            chip.WriteData(value);
        Update();
    }

    private void Observe(int firstPin, byte inputs)
    {
        for (int input = 0; input < 8; input++)
            if ((inputs >> input & 1) != 0)
                Observing?.Invoke(firstPin + input);
    }

    private void Update()
    {
        _master.SetCascade(CascadeInput, _slave.Pending >= 0);
        _output.Set(_master.Pending >= 0);
    }
}
