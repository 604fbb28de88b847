using Godwit.Engine.Devices.Timers;

namespace Godwit.Engine.Devices.Cmos;

/// <summary>
/// The PC's real-time clock and CMOS memory (Motorola MC146818A data sheet), ports 0x70 and 0x71, with the century in
/// byte 0x32. It shows UTC. Its flags are worked out when they are read; a timer is armed only for an enabled
/// interrupt that has not yet been raised.
/// </summary>
public sealed class Rtc : ISavedState<RtcState>
{
    public const ushort Port = 0x70;

    public const int Interrupt = 8;

    private const int RegisterA = 0x0a, RegisterB = 0x0b, RegisterC = 0x0c, RegisterD = 0x0d, Size = 128;
    private const byte UpdateInProgress = 0x80, DividerMask = 0x70, DividerRuns = 0x20;
    private const byte SetTime = 0x80, Periodic = 0x40, Alarm = 0x20, Update = 0x10, AnyInterrupt = Periodic | Alarm | Update, InterruptFlag = 0x80;
    private const byte ValidTime = 0x80;
    private const long Second = 1_000_000_000;

    /// <summary>The end of the calendar, in the year 2261, a year before nanoseconds in 64 bits end.</summary>
    private const long LatestTime = 9_190_000_000 * Second;

    /// <summary>How long before an update the data sheet raises UIP.</summary>
    private const long UpdateWarning = 244_000;

    private readonly IGuestClock _clock;
    private readonly IInterruptLine _line;
    private readonly IDeviceTimer _timer;
    private readonly byte[] _cmos = new byte[Size];
    private byte _index;
    private bool _timeWritten;
    private long _offset;
    private ulong _periodsKnownUntil;
    private long _updatesKnownUntil;

    public Rtc(IGuestClock clock, ITimerQueue timers, IInterruptLine line)
    {
        _clock = clock;
        _line = line;
        _timer = timers.Create(Refresh);
        _cmos[RegisterA] = DividerRuns | 6;
        _cmos[RegisterB] = 2;
        _updatesKnownUntil = Now;
        Ports = new BytePorts(2, offset => offset == 0 ? (byte)0xff : Read(_index), Write);
    }

    public BytePorts Ports { get; }

    /// <summary>Bit 7 of port 0x70: the chipset holds NMIs back.</summary>
    public bool NmiDisabled { get; private set; }

    public RtcState SaveState() => new()
    {
        Cmos = [.. _cmos],
        Index = _index,
        NmiDisabled = NmiDisabled,
        OffsetNanoseconds = _offset,
        TimeWritten = _timeWritten,
        PeriodsKnownUntil = _periodsKnownUntil,
        UpdatesKnownUntil = _updatesKnownUntil,
    };

    public void LoadState(RtcState state)
    {
        if (state.Cmos is not { Length: Size })
            throw new InvalidStateException($"RTC: CMOS must have {Size} bytes");
        if (state.Index >= Size)
            throw new InvalidStateException($"RTC: index cannot be {state.Index}");
        if ((state.Cmos[RegisterA] & UpdateInProgress) != 0 || (state.Cmos[RegisterC] & 0x0f) != 0)
            throw new InvalidStateException("RTC: registers A and C have bits that cannot be stored");
        if (state.UpdatesKnownUntil is < 0 or > LatestTime)
            throw new InvalidStateException($"RTC: the clock cannot have shown {state.UpdatesKnownUntil}");
        state.Cmos.CopyTo(_cmos, 0);
        _index = state.Index;
        NmiDisabled = state.NmiDisabled;
        _offset = state.OffsetNanoseconds;
        _timeWritten = state.TimeWritten;
        _periodsKnownUntil = state.PeriodsKnownUntil;
        _updatesKnownUntil = state.UpdatesKnownUntil;
        Arm();
    }

    private bool IsSetting => (_cmos[RegisterB] & SetTime) != 0;

    private bool Runs => (_cmos[RegisterA] & DividerMask) == DividerRuns;

    private bool Updates => Runs && !IsSetting;

    private RtcTime Format => new(_cmos[RegisterB]);

    /// <summary>What the clock shows, in nanoseconds since the Unix epoch.</summary>
    private long Now => (long)Int128.Clamp((Int128)_clock.WallNanoseconds + _offset, 0, LatestTime);

    /// <summary>Periodic interrupts a second as register A selects them; 0 for none.</summary>
    private ulong PeriodicHz => (_cmos[RegisterA] & 15) switch
    {
        0 => 0,
        // The first two selections repeat 8 and 9 on a 32768 Hz crystal.
        var rate and < 3 => 32768u >> (rate + 6),
        var rate => 32768u >> (rate - 1),
    };

    private byte Read(int index)
    {
        Refresh();
        switch (index)
        {
            case RegisterA:
                bool soon = Updates && Now % Second >= Second - UpdateWarning;
                return (byte)(_cmos[RegisterA] | (soon ? UpdateInProgress : 0));
            case RegisterC:
                byte flags = _cmos[RegisterC];
                _cmos[RegisterC] = 0;
                Raise();
                Arm();
                return flags;
            case RegisterD:
                return ValidTime;
            default:
                if (RtcTime.IsTimeRegister(index) && !IsSetting)
                    Format.Store(Shown, _cmos);
                return _cmos[index];
        }
    }

    private void Write(int offset, byte value)
    {
        if (offset == 0)
        {
            _index = (byte)(value & 0x7f);
            NmiDisabled = (value & 0x80) != 0;
            return;
        }
        Refresh();
        switch (_index)
        {
            case RegisterA:
                _cmos[RegisterA] = (byte)(value & ~UpdateInProgress);
                break;
            case RegisterB:
                WriteB(value);
                break;
            case RegisterC or RegisterD:
                break;
            default:
                WriteByte(_index, value);
                break;
        }
        Raise();
        Arm();
    }

    private DateTime Shown => DateTime.UnixEpoch.AddTicks(Now / 100);

    private void WriteB(byte value)
    {
        bool sets = (value & SetTime) != 0;
        if (sets && !IsSetting)
        {
            Format.Store(Shown, _cmos);
            _timeWritten = false;
        }
        bool starts = !sets && IsSetting;
        // Setting the time stops update interrupts (data sheet, "SET").
        _cmos[RegisterB] = sets ? (byte)(value & ~Update) : value;
        if (starts && _timeWritten)
            TakeTime();
    }

    private void WriteByte(int index, byte value)
    {
        bool isTime = RtcTime.IsTimeRegister(index);
        if (isTime && !IsSetting)
            Format.Store(Shown, _cmos);
        _cmos[index] = value;
        if (!isTime)
            return;
        if (IsSetting)
            _timeWritten = true;
        else
            TakeTime();
    }

    private void TakeTime()
    {
        Int128 set = (Int128)(Format.Load(_cmos) - DateTime.UnixEpoch).Ticks * 100;
        _offset = (long)Int128.Clamp(set - _clock.WallNanoseconds, long.MinValue, long.MaxValue);
        // A time that was set has not passed.
        _updatesKnownUntil = Now;
    }

    /// <summary>
    /// Brings the flags up to now, and with them the line and the timer. The calendar goes on while the machine is paused,
    /// as a battery's does, so an alarm that passed meanwhile comes late rather than never.
    /// </summary>
    private void Refresh()
    {
        ulong time = _clock.Nanoseconds;
        if (PeriodicHz is var hz and not 0 && Runs && new TickRate(hz) is var rate && rate.TicksIn(time) > rate.TicksIn(_periodsKnownUntil))
            _cmos[RegisterC] |= Periodic;
        _periodsKnownUntil = time;
        long shown = Now;
        if (Updates && shown / Second > _updatesKnownUntil / Second)
        {
            _cmos[RegisterC] |= Update;
            if (SecondsToAlarm(_updatesKnownUntil) is { } seconds && _updatesKnownUntil / Second + seconds <= shown / Second)
                _cmos[RegisterC] |= Alarm;
        }
        _updatesKnownUntil = shown;
        Raise();
        Arm();
    }

    private int? SecondsToAlarm(long time) => Format.SecondsToAlarm((int)(time / Second % 86400), _cmos);

    private void Raise()
    {
        bool raised = (_cmos[RegisterC] & _cmos[RegisterB] & AnyInterrupt) != 0;
        _cmos[RegisterC] = (byte)(_cmos[RegisterC] & AnyInterrupt | (raised ? InterruptFlag : 0));
        _line.Set(raised);
    }

    private void Arm()
    {
        // Once the line is up nothing more can be seen on it until register C is read.
        byte wanted = (byte)((_cmos[RegisterC] & InterruptFlag) != 0 ? 0 : _cmos[RegisterB] & AnyInterrupt);
        ulong earliest = ulong.MaxValue;
        if ((wanted & Periodic) != 0 && PeriodicHz is var hz and not 0 && Runs && new TickRate(hz) is var rate)
            earliest = rate.NanosecondsFor(rate.TicksIn(_periodsKnownUntil) + 1);
        if ((wanted & Update) != 0 && Updates)
            earliest = Math.Min(earliest, WhenShown(1));
        if ((wanted & Alarm) != 0 && Updates && SecondsToAlarm(_updatesKnownUntil) is { } seconds)
            earliest = Math.Min(earliest, WhenShown(seconds));
        if (earliest == ulong.MaxValue)
            _timer.Cancel();
        else
            _timer.Arm(earliest);
    }

    /// <summary>Guest time at which so many seconds will have begun since the flags were last worked out.</summary>
    private ulong WhenShown(int seconds)
    {
        long left = (_updatesKnownUntil / Second + seconds) * Second - Now;
        return TickRate.Later(_clock.Nanoseconds, (ulong)Math.Max(0, left));
    }
}
