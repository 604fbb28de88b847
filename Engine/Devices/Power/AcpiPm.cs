using Godwit.Engine.Devices.Timers;

namespace Godwit.Engine.Devices.Power;

/// <summary>
/// ACPI fixed hardware (ACPI 6.5, 4.8): PM1a event block, PM1a control block and the 32-bit PM timer in a row of ports.
/// There is no SMM, so ACPI mode is always on. Only S5 exists. The timer interrupt is armed only where the guest enables it.
/// </summary>
public sealed class AcpiPm : ISavedState<AcpiPmState>
{
    public const ushort Port = 0x600;

    public const int PortCount = 12, EventOffset = 0, ControlOffset = 4, TimerOffset = 8;

    /// <summary>The system control interrupt, level-triggered.</summary>
    public const int Interrupt = 9;

    /// <summary>SLP_TYP of \_S5 in the DSDT.</summary>
    public const byte SoftOffType = 5;

    public const ulong TimerHz = 3579545;

    private const ushort TimerStatus = 1 << 0, PowerButton = 1 << 8, Events = TimerStatus | PowerButton;
    private const ushort SciEnable = 1 << 0, SleepEnable = 1 << 13, ControlKept = 0x1c02;

    /// <summary>The timer status bit follows changes of the counter's highest bit.</summary>
    private const int HalfPeriodShift = 31;

    private static readonly TickRate Rate = new(TimerHz);

    private readonly IGuestClock _clock;
    private readonly IInterruptLine _line;
    private readonly IDeviceTimer _timer;
    private readonly IMachineControl _machine;
    private ushort _status, _enable, _control;
    private ulong _overflowsKnownUntil;

    public AcpiPm(IGuestClock clock, ITimerQueue timers, IInterruptLine line, IMachineControl machine)
    {
        _clock = clock;
        _line = line;
        _machine = machine;
        _timer = timers.Create(Refresh);
        Ports = new BytePorts(PortCount, Read, Write);
        Device = new TimerAlignedPorts(this);
    }

    /// <summary>What goes behind <see cref="Port"/>.</summary>
    public IPortDevice Device { get; }

    private BytePorts Ports { get; }

    /// <summary>The host asks the guest to shut down, as a person at the power button does.</summary>
    public void PressPowerButton()
    {
        _status |= PowerButton;
        Refresh();
    }

    public AcpiPmState SaveState() => new()
    {
        Status = _status,
        Enable = _enable,
        Control = _control,
        OverflowsKnownUntil = _overflowsKnownUntil,
    };

    public void LoadState(AcpiPmState state)
    {
        if ((state.Status & ~Events) != 0 || (state.Enable & ~Events) != 0 || (state.Control & ~ControlKept) != 0)
            throw new InvalidStateException("ACPI PM: a register has bits that do not exist");
        _status = state.Status;
        _enable = state.Enable;
        _control = state.Control;
        _overflowsKnownUntil = state.OverflowsKnownUntil;
        Arm();
    }

    private uint Counter => (uint)Rate.TicksIn(_clock.Nanoseconds);

    private byte Read(int offset)
    {
        if (offset >= TimerOffset)
            return (byte)(Counter >> (8 * (offset - TimerOffset)));
        Refresh();
        ushort register = offset switch
        {
            < 2 => _status,
            < 4 => _enable,
            < 6 => (ushort)(_control | SciEnable),
            _ => 0,
        };
        return (byte)(register >> (8 * (offset & 1)));
    }

    private void Write(int offset, byte value)
    {
        Refresh();
        int shift = 8 * (offset & 1);
        ushort bits = (ushort)(value << shift);
        ushort others = (ushort)~(0xff << shift);
        switch (offset)
        {
            case < 2:
                _status &= (ushort)~bits;
                break;
            case < 4:
                _enable = (ushort)((_enable & others | bits) & Events);
                break;
            case < 6:
                _control = (ushort)((_control & others | bits) & ControlKept);
                if ((bits & SleepEnable) != 0 && (_control >> 10 & 7) == SoftOffType)
                    _machine.PowerOff();
                break;
        }
        Refresh();
    }

    private void Refresh()
    {
        ulong now = _clock.Nanoseconds;
        if (Rate.TicksIn(now) >> HalfPeriodShift != Rate.TicksIn(Math.Min(_overflowsKnownUntil, now)) >> HalfPeriodShift)
            _status |= TimerStatus;
        _overflowsKnownUntil = now;
        _line.Set((_status & _enable) != 0);
        Arm();
    }

    private void Arm()
    {
        if ((_enable & ~_status & TimerStatus) != 0)
            _timer.Arm(Rate.NanosecondsFor((Rate.TicksIn(_clock.Nanoseconds) >> HalfPeriodShift) + 1 << HalfPeriodShift));
        else
            _timer.Cancel();
    }

    /// <summary>A wide read of the counter takes all its bytes at one instant.</summary>
    private sealed class TimerAlignedPorts(AcpiPm pm) : IPortDevice
    {
        public uint ReadPort(int offset, int size) => offset == TimerOffset && size == 4 ? pm.Counter : pm.Ports.ReadPort(offset, size);

        public void WritePort(int offset, int size, uint value) => pm.Ports.WritePort(offset, size, value);
    }
}
