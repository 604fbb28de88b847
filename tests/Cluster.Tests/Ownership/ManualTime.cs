namespace Godwit.Cluster.Tests.Ownership;

/// <summary>A clock that the test moves; timers fire in order while it does.</summary>
internal sealed class ManualTime : TimeProvider
{
    private static readonly DateTimeOffset _start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private long _now;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override DateTimeOffset GetUtcNow() => _start + TimeSpan.FromTicks(GetTimestamp());

    public override long GetTimestamp()
    {
        lock (_lock)
        {
            return _now;
        }
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, () => callback(state));
        timer.Change(dueTime, period);
        return timer;
    }

    public void Advance(TimeSpan by)
    {
        var until = GetTimestamp() + by.Ticks;
        while (true)
        {
            ManualTimer? next;
            lock (_lock)
            {
                next = Next(until);
                _now = next is null ? until : Math.Max(_now, next.Due);
                next?.Step();
            }

            if (next is null)
            {
                return;
            }

            next.Fire();
        }
    }

    private ManualTimer? Next(long until)
    {
        ManualTimer? next = null;
        foreach (var timer in _timers)
        {
            if (timer.Due <= until && timer.Due < (next?.Due ?? long.MaxValue))
            {
                next = timer;
            }
        }

        return next;
    }

    /// <summary>Moves the clock in steps until the task is done; what it awaits between steps is in memory.</summary>
    public async Task<T> UntilAsync<T>(Task<T> task, TimeSpan step)
    {
        for (var steps = 0; !task.IsCompleted; steps++)
        {
            Xunit.Assert.True(steps < 100_000, "the task did not end whatever time passed");
            Advance(step);
            await Task.Yield();
        }

        return await task;
    }

    private sealed class ManualTimer(ManualTime time, Action fire) : ITimer
    {
        private TimeSpan _period;

        public long Due { get; private set; } = long.MaxValue;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (time._lock)
            {
                _period = period;
                Due = dueTime == Timeout.InfiniteTimeSpan ? long.MaxValue : time._now + dueTime.Ticks;
                if (!time._timers.Contains(this))
                {
                    time._timers.Add(this);
                }
            }

            return true;
        }

        public void Step() => Due = _period == Timeout.InfiniteTimeSpan || _period == TimeSpan.Zero ? long.MaxValue : Due + _period.Ticks;

        public void Fire() => fire();

        public void Dispose()
        {
            lock (time._lock)
            {
                time._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
