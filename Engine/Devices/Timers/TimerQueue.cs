namespace Godwit.Engine.Devices.Timers;

/// <summary>
/// One machine's timers, in guest time. Used under the machine lock. Timers with equal deadlines run in the order in
/// which they were created, so that two runs of the same machine agree. A machine has few timers (one a device), hence
/// a plain list.
/// </summary>
public sealed class TimerQueue(IGuestClock clock) : ITimerQueue
{
    private const ulong Never = ulong.MaxValue;

    private readonly List<DeviceTimer> _timers = [];
    private ulong _next = Never;
    private ulong _pass;

    /// <summary>Called when a deadline earlier than every other has been armed: whoever waits must wait less long.</summary>
    public Action? EarlierDeadline { get; set; }

    /// <summary>The earliest deadline in guest nanoseconds; null when no timer is armed. May be read without the machine lock.</summary>
    public ulong? NextDeadline => Volatile.Read(ref _next) is var next && next == Never ? null : next;

    /// <summary>Whether <see cref="RunDue"/> has something to do now. May be asked without the machine lock.</summary>
    public bool IsDue => Volatile.Read(ref _next) is var next && next != Never && next <= clock.Nanoseconds;

    public IDeviceTimer Create(Action callback)
    {
        DeviceTimer timer = new(this, callback);
        _timers.Add(timer);
        return timer;
    }

    /// <summary>
    /// Runs the callbacks of all timers that are due now, earliest deadline first, and returns how many. A timer runs
    /// at most once a call: one that is armed again for the past waits for the next call, so that no guest can keep
    /// its vCPU thread in here.
    /// </summary>
    public int RunDue()
    {
        ulong now = clock.Nanoseconds;
        if (Volatile.Read(ref _next) > now)
            return 0;
        _pass++;
        int count = 0;
        while (EarliestDue(now) is { } timer)
        {
            timer.Pass = _pass;
            timer.Run();
            count++;
        }
        return count;
    }

    private DeviceTimer? EarliestDue(ulong now)
    {
        DeviceTimer? earliest = null;
        foreach (DeviceTimer timer in _timers)
            if (timer.At <= now && timer.At != Never && timer.Pass != _pass && (earliest is null || timer.At < earliest.At))
                earliest = timer;
        return earliest;
    }

    private void Changed()
    {
        ulong next = Never;
        foreach (DeviceTimer timer in _timers)
            next = Math.Min(next, timer.At);
        bool earlier = next < _next;
        Volatile.Write(ref _next, next);
        if (earlier)
            EarlierDeadline?.Invoke();
    }

    private sealed class DeviceTimer(TimerQueue queue, Action callback) : IDeviceTimer
    {
        internal ulong At { get; private set; } = Never;

        internal ulong Pass { get; set; }

        public ulong? Deadline => At == Never ? null : At;

        /// <remarks>The last nanosecond of time, 584 years away, stands for never.</remarks>
        public void Arm(ulong deadlineNanoseconds)
        {
            if (At == deadlineNanoseconds)
                return;
            At = deadlineNanoseconds;
            queue.Changed();
        }

        public void Cancel() => Arm(Never);

        internal void Run()
        {
            Cancel();
            callback();
        }
    }
}
