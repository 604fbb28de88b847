using Godwit.Engine.Devices.Interrupts;

namespace Godwit.Engine.Devices.Pit;

/// <summary>
/// The PC's 8254: ports 0x40 to 0x43, and port 0x61, whose bit 0 is counter 2's gate and bit 5 its output. Counter 0
/// drives interrupt 0. Its timer is armed only while a rising edge is to come and somebody watches the line; an edge
/// that passed unwatched is delivered when somebody does.
/// </summary>
public sealed class Pit8254 : ISavedState<PitState>
{
    public const ushort CounterPort = 0x40, ControlPort = 0x61;

    /// <summary>The PC's 14.31818 MHz crystal divided by 12.</summary>
    public const ulong InputHz = 1193182;

    private const int ReadBack = 3;
    private const byte Gate2 = 1, WritableControl = 0x0f, Refresh = 0x10, Output2 = 0x20;

    /// <summary>DRAM refresh toggled port 0x61 bit 4 about every 15 microseconds; software times short delays by it.</summary>
    private const ulong RefreshNanoseconds = 15085;

    private readonly IGuestClock _clock;
    private readonly IObservedLine _line;
    private readonly IDeviceTimer _timer;
    private readonly PitCounter[] _counters;
    private byte _control;
    private ulong _edgesSeenUntil;

    public Pit8254(IGuestClock clock, ITimerQueue timers, IObservedLine line)
    {
        _clock = clock;
        _line = line;
        _timer = timers.Create(DeliverEdge);
        _counters = [new PitCounter(clock), new PitCounter(clock), new PitCounter(clock)];
        _counters[2].SetGate(false);
        line.Observing = BeginObserving;
        CounterPorts = new BytePorts(4, Read, Write);
        ControlPorts = new BytePorts(1, _ => ReadControlPort(), (_, value) => WriteControlPort(value));
    }

    public BytePorts CounterPorts { get; }

    public BytePorts ControlPorts { get; }

    public PitState SaveState() => new()
    {
        Counters = [.. _counters.Select(counter => counter.Save())],
        ControlPort = _control,
        EdgesSeenUntil = _edgesSeenUntil,
    };

    public void LoadState(PitState state)
    {
        if (state.Counters is not { Length: 3 })
            throw new InvalidStateException("8254: there must be three counters");
        if ((state.ControlPort & ~WritableControl) != 0)
            throw new InvalidStateException($"8254: port 0x61 cannot be 0x{state.ControlPort:x}");
        foreach (PitCounterState counter in state.Counters)
            PitCounter.Validate(counter);
        for (int i = 0; i < 3; i++)
            _counters[i].Restore(state.Counters[i]);
        _control = state.ControlPort;
        _edgesSeenUntil = state.EdgesSeenUntil;
        Arm();
    }

    private byte Read(int offset) => offset < 3 ? _counters[offset].Read() : (byte)0xff;

    private void Write(int offset, byte value)
    {
        Catchup();
        if (offset < 3)
        {
            if (_counters[offset].Write(value) && offset == 0)
                Restart();
            return;
        }
        int select = value >> 6;
        if (select != ReadBack)
        {
            _counters[select].WriteControl(value);
            if (select == 0 && (value & 0x30) != 0)
                Restart();
            return;
        }
        for (int counter = 0; counter < 3; counter++)
            if ((value >> (counter + 1) & 1) != 0)
                _counters[counter].Latch(count: (value & 0x20) == 0, status: (value & 0x10) == 0);
    }

    private byte ReadControlPort()
    {
        byte refresh = _clock.Nanoseconds / RefreshNanoseconds % 2 == 0 ? (byte)0 : Refresh;
        return (byte)(_control | refresh | (_counters[2].Output ? Output2 : 0));
    }

    private void WriteControlPort(byte value)
    {
        _control = (byte)(value & WritableControl);
        _counters[2].SetGate((value & Gate2) != 0);
    }

    private void Restart()
    {
        _edgesSeenUntil = _clock.Nanoseconds;
        _line.Set(_counters[0].Output);
        Arm();
    }

    /// <summary>The line is about to be watched: what was missed is made up for, and the next edge will come in time.</summary>
    private void BeginObserving()
    {
        Catchup();
        ArmFrom(_edgesSeenUntil);
    }

    private void DeliverEdge()
    {
        Catchup();
        Arm();
    }

    /// <summary>Delivers one edge for all that have come since the line was last looked after.</summary>
    private void Catchup()
    {
        if (_counters[0].NextRise(_edgesSeenUntil) is { } rise && rise <= _clock.Nanoseconds)
            Pulse();
    }

    private void Pulse()
    {
        _edgesSeenUntil = _clock.Nanoseconds;
        _line.Set(false);
        _line.Set(true);
    }

    private void Arm()
    {
        if (_line.IsObserved)
            ArmFrom(_edgesSeenUntil);
        else
            _timer.Cancel();
    }

    private void ArmFrom(ulong time)
    {
        if (_counters[0].NextRise(time) is { } rise)
            _timer.Arm(rise);
        else
            _timer.Cancel();
    }
}
