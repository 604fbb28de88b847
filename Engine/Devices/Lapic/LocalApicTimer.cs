using Godwit.Engine.Devices.Timers;

namespace Godwit.Engine.Devices.Lapic;

/// <summary>
/// The local APIC's timer (Intel SDM vol. 3, 11.5.4): one-shot, periodic or TSC deadline. Its input clock runs at
/// 1 GHz. A masked timer counts on but arms nothing; what is due is settled when it is looked at.
/// </summary>
internal sealed class LocalApicTimer
{
    internal const uint LvtMask = 0x700ff;
    internal const uint DivideMask = 0xb;

    private const uint Masked = 1 << 16;
    private const uint ModeMask = 3 << 17;
    private const uint Periodic = 1 << 17;
    private const uint TscDeadlineMode = 2 << 17;

    private readonly IGuestClock _clock;
    private readonly IDeviceTimer _timer;
    private readonly Action _fire;
    private ulong? _expiry;
    private ulong _tscDeadline;

    internal LocalApicTimer(IGuestClock clock, ITimerQueue timers, Action fire)
    {
        _clock = clock;
        _fire = fire;
        _timer = timers.Create(Settle);
    }

    internal uint Lvt { get; private set; } = Masked;

    internal uint InitialCount { get; private set; }

    internal uint Divide { get; private set; }

    /// <summary>Guest time at which the count reaches zero next; null when it is not counting.</summary>
    internal ulong? Expiry => _expiry;

    internal ulong RawTscDeadline => _tscDeadline;

    internal void SetLvt(uint value)
    {
        Settle();
        uint before = Lvt;
        Lvt = value & LvtMask;
        if ((before & ModeMask) == TscDeadlineMode != InDeadlineMode)
        {
            InitialCount = 0;
            _expiry = null;
            _tscDeadline = 0;
        }
        Rearm();
    }

    internal void SetInitialCount(uint count)
    {
        if (InDeadlineMode)
            return;
        Settle();
        InitialCount = count;
        _expiry = count == 0 ? null : TickRate.Later(_clock.Nanoseconds, Period);
        Rearm();
    }

    internal void SetDivide(uint value)
    {
        Settle();
        uint left = CurrentCount;
        Divide = value & DivideMask;
        if (_expiry is not null)
            _expiry = TickRate.Later(_clock.Nanoseconds, left * TickNanoseconds);
        Rearm();
    }

    internal uint CurrentCount
    {
        get
        {
            Settle();
            if (_expiry is not { } expiry || expiry <= _clock.Nanoseconds)
                return 0;
            ulong ticks = (expiry - _clock.Nanoseconds + TickNanoseconds - 1) / TickNanoseconds;
            return (uint)Math.Min(ticks, InitialCount);
        }
    }

    /// <summary>IA32_TSC_DEADLINE: 0 when not armed; writes outside TSC-deadline mode are ignored.</summary>
    internal ulong TscDeadline
    {
        get
        {
            Settle();
            return _tscDeadline;
        }
        set
        {
            if (!InDeadlineMode)
                return;
            Settle();
            _tscDeadline = value;
            Settle();
        }
    }

    internal void Reset()
    {
        Lvt = Masked;
        InitialCount = 0;
        Divide = 0;
        _expiry = null;
        _tscDeadline = 0;
        Rearm();
    }

    internal void Load(uint lvt, uint initialCount, uint divide, ulong? expiry, ulong tscDeadline)
    {
        Lvt = lvt;
        InitialCount = initialCount;
        Divide = divide;
        _expiry = expiry;
        _tscDeadline = tscDeadline;
        Rearm();
    }

    private bool IsMasked => (Lvt & Masked) != 0;

    private bool InDeadlineMode => (Lvt & ModeMask) == TscDeadlineMode;

    private ulong TickNanoseconds => 1ul << (int)((((Divide & 8) >> 1) + (Divide & 3) + 1) & 7);

    private ulong Period => InitialCount * TickNanoseconds;

    private void Settle()
    {
        bool due = false;
        ulong now = _clock.Nanoseconds;
        if (_tscDeadline != 0 && _clock.Tsc >= _tscDeadline)
        {
            _tscDeadline = 0;
            due = true;
        }
        else if (_expiry is { } expiry && expiry <= now)
        {
            // Periods missed while the host was busy coalesce, as they do in IRR.
            bool again = (Lvt & ModeMask) == Periodic && Period != 0;
            _expiry = again ? TickRate.Later(expiry, ((now - expiry) / Period + 1) * Period) : null;
            due = true;
        }
        Rearm();
        if (due && !IsMasked)
            _fire();
    }

    private void Rearm()
    {
        if (IsMasked)
            _timer.Cancel();
        else if (_tscDeadline != 0)
        {
            ulong tsc = _clock.Tsc;
            ulong ticks = _tscDeadline > tsc ? _tscDeadline - tsc : 0;
            _timer.Arm(TickRate.Later(_clock.Nanoseconds, Math.Max(1, new TickRate(_clock.TscHz).NanosecondsFor(ticks))));
        }
        else if (_expiry is { } expiry)
            _timer.Arm(expiry);
        else
            _timer.Cancel();
    }
}
