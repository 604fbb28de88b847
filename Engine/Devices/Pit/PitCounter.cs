using Godwit.Engine.Devices.Timers;

namespace Godwit.Engine.Devices.Pit;

/// <summary>
/// One counter of the 8254 (Intel data sheet 231164), all six modes, as a function of guest time: nothing runs while
/// nobody looks. The tick that loads a written count is not modelled.
/// </summary>
internal sealed class PitCounter(IGuestClock clock)
{
    private static readonly TickRate Rate = new(Pit8254.InputHz);

    private byte _mode, _byteSelect = 3;
    private bool _bcd, _readsHigh;
    private uint _period, _nextPeriod;
    private ulong? _started;
    private ulong _heldTicks;
    private byte? _halfWritten, _latchedStatus;
    private ushort? _latchedCount;

    internal bool Gate { get; private set; } = true;

    /// <summary>The output pin, now.</summary>
    internal bool Output
    {
        get
        {
            ulong elapsed = Elapsed;
            if (_period == 0)
                return _mode != 0;
            return _mode switch
            {
                0 => elapsed >= _period,
                1 => !IsTriggered || elapsed >= _period,
                2 => !Gate || elapsed % _period != _period - 1 || _period == 1,
                3 => !Gate || elapsed % _period < (_period + 1) / 2,
                _ => !IsTriggered || elapsed != _period,
            };
        }
    }

    /// <summary>Guest time of the first rising edge of the output after <paramref name="time"/>; null when none will come by itself.</summary>
    internal ulong? NextRise(ulong time)
    {
        Advance();
        if (_period == 0 || _started is not { } started)
            return null;
        // Only a changed period moves a start into the future of whoever asks: the old period's end is a rising edge.
        if (time < started && _mode is 2 or 3)
            return started;
        ulong elapsed = time < started ? 0 : Rate.TicksIn(time - started);
        ulong? tick = _mode switch
        {
            0 or 1 => elapsed < _period ? _period : null,
            2 or 3 => (elapsed / _period + 1) * _period,
            _ => elapsed < _period + 1 ? _period + 1 : null,
        };
        return tick is { } rise ? TickRate.Later(started, Rate.NanosecondsFor(rise)) : null;
    }

    internal void WriteControl(byte value)
    {
        int select = value >> 4 & 3;
        if (select == 0)
        {
            Latch(count: true, status: false);
            return;
        }
        // Modes 6 and 7 are 2 and 3.
        _mode = (byte)(value >> 1 & 7);
        if (_mode > 5)
            _mode -= 4;
        _byteSelect = (byte)select;
        _bcd = (value & 1) != 0;
        _period = _nextPeriod = 0;
        _started = null;
        _heldTicks = 0;
        _readsHigh = false;
        _halfWritten = _latchedStatus = null;
        _latchedCount = null;
    }

    internal void Latch(bool count, bool status)
    {
        if (status && _latchedStatus is null)
        {
            int bits = (Output ? 0x80 : 0) | (_period == 0 || _nextPeriod != 0 ? 0x40 : 0) | _byteSelect << 4 | _mode << 1 | (_bcd ? 1 : 0);
            _latchedStatus = (byte)bits;
        }
        if (count)
            _latchedCount ??= Count;
    }

    /// <summary>Takes a byte of a count; true when it is complete.</summary>
    internal bool Write(byte value)
    {
        switch (_byteSelect)
        {
            case 1:
                Load(value);
                return true;
            case 2:
                Load((ushort)(value << 8));
                return true;
        }
        if (_halfWritten is not { } low)
        {
            _halfWritten = value;
            // The first of two bytes stops a count in mode 0 and lowers its output.
            if (_mode == 0)
            {
                _started = null;
                _heldTicks = 0;
            }
            return false;
        }
        _halfWritten = null;
        Load((ushort)(value << 8 | low));
        return true;
    }

    internal byte Read()
    {
        if (_latchedStatus is { } status)
        {
            _latchedStatus = null;
            return status;
        }
        ushort count = _latchedCount ?? Count;
        bool high = _byteSelect == 2 || _byteSelect == 3 && _readsHigh;
        if (_byteSelect == 3)
            _readsHigh = !_readsHigh;
        if (_byteSelect != 3 || high)
            _latchedCount = null;
        return (byte)(high ? count >> 8 : count);
    }

    internal void SetGate(bool gate)
    {
        if (gate == Gate)
            return;
        Advance();
        Gate = gate;
        if (_period == 0)
            return;
        if (!gate)
        {
            if (_mode is 0 or 2 or 3 or 4)
                Hold();
        }
        else if (_mode is 0 or 4)
            Go();
        else
        {
            _heldTicks = 0;
            _period = _nextPeriod != 0 ? _nextPeriod : _period;
            _nextPeriod = 0;
            Go();
        }
    }

    internal PitCounterState Save()
    {
        Advance();
        return new PitCounterState
        {
            Mode = _mode,
            ByteSelect = _byteSelect,
            Bcd = _bcd,
            Gate = Gate,
            Period = _period,
            NextPeriod = _nextPeriod,
            Started = _started,
            HeldTicks = _heldTicks,
            HalfWritten = _halfWritten,
            ReadsHigh = _readsHigh,
            LatchedCount = _latchedCount,
            LatchedStatus = _latchedStatus,
        };
    }

    internal static void Validate(PitCounterState? state)
    {
        if (state is null)
            throw new InvalidStateException("8254: a counter's state is missing");
        if (state.Mode > 5 || state.ByteSelect is 0 or > 3)
            throw new InvalidStateException($"8254: mode {state.Mode} with byte select {state.ByteSelect} does not exist");
        if (state.Period > 0x10000 || state.NextPeriod > 0x10000)
            throw new InvalidStateException($"8254: period cannot be {Math.Max(state.Period, state.NextPeriod)}");
        if (state.Period == 0 && (state.Started is not null || state.NextPeriod != 0))
            throw new InvalidStateException("8254: a counter without a count cannot run");
        if (state.HeldTicks > long.MaxValue)
            throw new InvalidStateException($"8254: held ticks cannot be {state.HeldTicks}");
    }

    internal void Restore(PitCounterState state)
    {
        _mode = state.Mode;
        _byteSelect = state.ByteSelect;
        _bcd = state.Bcd;
        Gate = state.Gate;
        _period = state.Period;
        _nextPeriod = state.NextPeriod;
        _started = state.Started;
        _heldTicks = state.HeldTicks;
        _halfWritten = state.HalfWritten;
        _readsHigh = state.ReadsHigh;
        _latchedCount = state.LatchedCount;
        _latchedStatus = state.LatchedStatus;
    }

    /// <summary>Whether a gate-triggered mode has seen its trigger; the software-triggered ones always have.</summary>
    private bool IsTriggered => _started is not null || _mode == 4;

    private ulong Elapsed
    {
        get
        {
            Advance();
            return _started is { } started ? TicksSince(started) : _heldTicks;
        }
    }

    private ulong TicksSince(ulong start) => clock.Nanoseconds is var now && now > start ? Rate.TicksIn(now - start) : 0;

    private ushort Count
    {
        get
        {
            ulong elapsed = Elapsed;
            if (_period == 0)
                return 0;
            ulong position = elapsed % _period;
            ulong count = _mode switch
            {
                2 => _period - position,
                // Counts down by two, twice over.
                3 => _period - 2 * position % _period,
                _ => _period - elapsed,
            };
            return ToRegister(count);
        }
    }

    private void Load(ushort raw)
    {
        Advance();
        uint period = FromRegister(raw);
        // A new count for a running periodic counter waits for the end of its period; a gate-triggered one for its trigger.
        if (_period != 0 && _started is { } started && _mode is 1 or 2 or 3 or 5)
        {
            if (_mode is 2 or 3)
                _started = TickRate.Later(started, Rate.NanosecondsFor(Elapsed / _period * _period));
            _nextPeriod = period;
            return;
        }
        _period = period;
        _nextPeriod = 0;
        _heldTicks = 0;
        _started = null;
        if (Gate && _mode is 0 or 2 or 3 or 4)
            Go();
    }

    /// <summary>Lets the next period's length take effect where the current period has ended.</summary>
    private void Advance()
    {
        if (_nextPeriod == 0 || _started is not { } started || _mode is not (2 or 3))
            return;
        ulong end = TickRate.Later(started, Rate.NanosecondsFor(_period));
        if (clock.Nanoseconds < end)
            return;
        _started = end;
        _period = _nextPeriod;
        _nextPeriod = 0;
    }

    private void Hold()
    {
        if (_started is not { } started)
            return;
        _heldTicks = TicksSince(started);
        _started = null;
    }

    private void Go()
    {
        ulong held = Rate.NanosecondsFor(_heldTicks);
        ulong now = clock.Nanoseconds;
        // Guest time may be younger than the ticks held over from it only in a forged state.
        _started = now - Math.Min(held, now);
        _heldTicks = 0;
    }

    private uint FromRegister(ushort raw)
    {
        if (!_bcd)
            return raw == 0 ? 0x10000u : raw;
        uint value = (uint)((raw >> 12) * 1000 + (raw >> 8 & 15) * 100 + (raw >> 4 & 15) * 10 + (raw & 15));
        return value == 0 ? 10000 : value;
    }

    private ushort ToRegister(ulong count)
    {
        if (!_bcd)
            return (ushort)count;
        // A count below zero wraps, in either notation.
        uint value = (uint)(((long)count % 10000 + 10000) % 10000);
        return (ushort)(value / 1000 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10);
    }
}
