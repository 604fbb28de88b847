using System.Diagnostics;
using Godwit.Engine.Machine;
using Xunit;

namespace Godwit.Engine.Tests.Machine;

public sealed class SliceAlarmTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task RingsOnceItsTimeHasComeAndNotBefore()
    {
        TaskCompletionSource<long> rang = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using SliceAlarm.Watch watch = SliceAlarm.Add(() => rang.TrySetResult(Stopwatch.GetTimestamp()));
        long due = In(TimeSpan.FromMilliseconds(3));

        watch.Set(due);

        Assert.True(await rang.Task.WaitAsync(_patience) >= due);
    }

    [Fact]
    public async Task AnEarlierTimeTakesThePlaceOfALaterOneThatIsWaitedForAlready()
    {
        TaskCompletionSource rang = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using SliceAlarm.Watch watch = SliceAlarm.Add(() => rang.TrySetResult());

        watch.Set(In(TimeSpan.FromHours(1)));
        watch.Set(In(TimeSpan.FromMilliseconds(1)));

        await rang.Task.WaitAsync(_patience);
    }

    [Fact]
    public async Task WhatIsTakenBackOrDisposedOfDoesNotRing()
    {
        int rings = 0;
        TaskCompletionSource later = new(TaskCreationOptions.RunContinuationsAsynchronously);
        using SliceAlarm.Watch takenBack = SliceAlarm.Add(() => Interlocked.Increment(ref rings));
        SliceAlarm.Watch disposed = SliceAlarm.Add(() => Interlocked.Increment(ref rings));
        using SliceAlarm.Watch last = SliceAlarm.Add(() => later.TrySetResult());
        long soon = In(TimeSpan.FromMilliseconds(200));

        takenBack.Set(soon);
        disposed.Set(soon);
        last.Set(soon + 1);
        takenBack.Set(SliceAlarm.Never);
        disposed.Dispose();
        await later.Task.WaitAsync(_patience);

        Assert.Equal(0, rings);
    }

    [Fact]
    public async Task ATimeCanBeSetAgainEachTimeItHasRung()
    {
        using SemaphoreSlim rings = new(0);
        using SliceAlarm.Watch watch = SliceAlarm.Add(() => rings.Release());
        for (int i = 0; i < 100; i++)
        {
            watch.Set(In(TimeSpan.FromMicroseconds(i % 7 * 20)));
            Assert.True(await rings.WaitAsync(_patience));
        }
    }

    [Fact]
    public void GuestTimeIsReachedWhenTheHostsClockSaysSoAndNeverWhileItStandsStill()
    {
        HostClock clock = new(1_000_000_000);
        clock.Set(5_000_000);
        Assert.Equal(long.MaxValue, clock.TicksAt(6_000_000));

        long before = Stopwatch.GetTimestamp();
        clock.Start();
        long after = Stopwatch.GetTimestamp(), millisecond = Stopwatch.Frequency / 1000;

        Assert.InRange(clock.TicksAt(6_000_000), before + millisecond, after + millisecond);
        Assert.Equal(long.MaxValue, clock.TicksAt(long.MaxValue));
    }

    private static long In(TimeSpan time) => Stopwatch.GetTimestamp() + (long)(time.TotalSeconds * Stopwatch.Frequency);
}
