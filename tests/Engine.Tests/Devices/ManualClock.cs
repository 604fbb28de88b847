using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Timers;

namespace Godwit.Engine.Tests.Devices;

/// <summary>Guest time that tests move by hand, with the timers that go with it.</summary>
internal sealed class ManualClock : IGuestClock
{
    internal ManualClock() => Timers = new TimerQueue(this);

    internal TimerQueue Timers { get; }

    public ulong Nanoseconds { get; set; }

    public ulong TscHz { get; init; } = 2_000_000_000;

    public ulong Tsc => (ulong)((UInt128)Nanoseconds * TscHz / 1_000_000_000);

    /// <summary>Wall-clock time at guest time 0: 2024-02-29 23:59:58 UTC.</summary>
    internal ulong WallStart { get; init; } = 1709251198ul * 1_000_000_000;

    public ulong WallNanoseconds => WallStart + Nanoseconds;

    /// <summary>Moves on, stopping at every deadline as a vCPU thread does.</summary>
    internal void Advance(ulong nanoseconds)
    {
        ulong end = Nanoseconds + nanoseconds;
        while (Timers.NextDeadline is { } next && next <= end)
        {
            Nanoseconds = Math.Max(Nanoseconds, next);
            Timers.RunDue();
        }
        Nanoseconds = end;
    }
}

/// <summary>A line that remembers its level and counts its rising edges.</summary>
internal sealed class RecordingLine : IObservedLine
{
    internal bool Level { get; private set; }

    internal int Rises { get; private set; }

    public bool IsObserved { get; set; } = true;

    public Action? Observing { get; set; }

    public void Set(bool level)
    {
        if (level && !Level)
            Rises++;
        Level = level;
    }
}
