using System.Diagnostics;
using Godwit.Engine.Host;
using Xunit;

namespace Godwit.Engine.Tests.Host;

/// <summary>
/// Wakes against waits. What must never happen is that the event's flag stays set with nothing to poll: then every later wake
/// is lost, so that one look at the end tells of all that went before.
/// </summary>
public sealed class WakeEventTests
{
    private const int Waits = 200_000;
    private const ulong Long = 20_000_000_000;

    [Fact]
    public void AWakeBeforeTheWaitEndsIt()
    {
        using WakeEvent wake = new();
        wake.Wake();
        wake.Wake();
        Assert.True(EndsEarly(wake));
    }

    [Fact]
    public void AWaitEndsWhenItsTimeHasPassed()
    {
        using WakeEvent wake = new();
        long start = Stopwatch.GetTimestamp();
        wake.Wait(1_000_000);
        Assert.True(Stopwatch.GetElapsedTime(start) >= TimeSpan.FromMilliseconds(1));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void NoWakeIsLostWhileManyThreadsWakeAndOneWaits(int wakers)
    {
        using WakeEvent wake = new();
        bool done = false;
        Thread[] threads = new Thread[wakers];
        for (int i = 0; i < wakers; i++)
        {
            threads[i] = new Thread(() =>
            {
                while (!Volatile.Read(ref done))
                    wake.Wake();
            });
            threads[i].Start();
        }
        for (int i = 0; i < Waits; i++)
            wake.Wait(0);
        Volatile.Write(ref done, true);
        foreach (Thread thread in threads)
            thread.Join();
        wake.Wake();
        Assert.True(EndsEarly(wake), $"after {Waits} waits a wake does not end the next one");
    }

    [Fact]
    public void WhatWasPostedBeforeAWakeIsSeenAfterTheWait()
    {
        using WakeEvent wake = new();
        const int Posts = 100_000;
        int posted = 0;
        Thread poster = new(() =>
        {
            for (int i = 1; i <= Posts; i++)
            {
                Volatile.Write(ref posted, i);
                wake.Wake();
            }
        });
        poster.Start();
        bool ended = true;
        for (int seen = 0; ended && seen < Posts; seen = Volatile.Read(ref posted))
            ended = EndsEarly(wake);
        poster.Join();
        Assert.True(ended, "the waiter slept while something was posted");
    }

    private static bool EndsEarly(WakeEvent wake)
    {
        long start = Stopwatch.GetTimestamp();
        wake.Wait(Long);
        return Stopwatch.GetElapsedTime(start).TotalNanoseconds < Long;
    }
}
