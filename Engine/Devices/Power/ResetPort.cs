namespace Godwit.Engine.Devices.Power;

/// <summary>The chipset's reset control register (Intel ICH data sheets, RST_CNT): a rising bit 2 resets.</summary>
public sealed class ResetPort : ISavedState<ResetPortState>
{
    public const ushort Port = 0xcf9;

    /// <summary>What the FADT tells the guest to write: a full reset.</summary>
    public const byte ResetValue = 0x06;

    private const byte ResetCpu = 4, Kept = 0x0a;

    private byte _value;

    public ResetPort(IMachineControl machine) =>
        Ports = new BytePorts(1, _ => _value, (_, value) =>
        {
            _value = (byte)(value & Kept);
            if ((value & ResetCpu) != 0)
                machine.Reset();
        });

    public BytePorts Ports { get; }

    public ResetPortState SaveState() => new() { Value = _value };

    public void LoadState(ResetPortState state)
    {
        if ((state.Value & ~Kept) != 0)
            throw new InvalidStateException($"reset port: value cannot be 0x{state.Value:x}");
        _value = state.Value;
    }
}
