using System.Diagnostics;
using Godwit.Engine.Host;

namespace Godwit.Engine.Machine;

/// <summary>
/// Ends slices that have become longer than they were meant to be, when somebody waits for their end: a slice is so many
/// instructions, and those may turn out slow. One thread for all machines of the process sleeps to the earliest of the times
/// that vCPU threads have set, and asks whoever runs on past its time for an exit. It costs one wake-up for each timer of a
/// guest that is busy, and nothing where all guests sleep.
/// </summary>
internal static class SliceAlarm
{
    /// <summary>Never.</summary>
    public const long Never = long.MaxValue;

    private static readonly Lock _gate = new();
    private static readonly WakeEvent _wake = new();
    private static readonly List<Watch> _watches = [];
    private static bool _started;

    // What the thread sleeps to, in ticks of the Stopwatch.
    private static long _until = Never;

    /// <summary>A place for a time.</summary>
    /// <param name="ring">Called on the alarm's thread when the time has come; it must be short, and set or add nothing.</param>
    public static Watch Add(Action ring)
    {
        Watch watch = new(ring);
        lock (_gate)
        {
            _watches.Add(watch);
            if (!_started)
                new Thread(Main) { Name = "slice alarm", IsBackground = true }.Start();
            _started = true;
        }
        return watch;
    }

    private static void Main()
    {
        while (true)
        {
            long now = Stopwatch.GetTimestamp();
            long next = Ring(now);
            // Whoever sets an earlier time from here on sees that it has to wake this thread; who was faster is seen below.
            Interlocked.Exchange(ref _until, next);
            if (Earliest() < next)
                continue;
            _wake.Wait(next == Never ? null : (ulong)Stopwatch.GetElapsedTime(now, next).TotalNanoseconds);
        }
    }

    /// <summary>Rings where the time has come; returns the earliest of the other times.</summary>
    private static long Ring(long now)
    {
        long next = Never;
        lock (_gate)
            foreach (Watch watch in _watches)
                next = Math.Min(next, watch.RingIfDue(now));
        return next;
    }

    private static long Earliest()
    {
        long earliest = Never;
        lock (_gate)
            foreach (Watch watch in _watches)
                earliest = Math.Min(earliest, watch.Time);
        return earliest;
    }

    /// <summary>The time of one vCPU. Set by its thread.</summary>
    public sealed class Watch : IDisposable
    {
        private readonly Action _ring;
        private long _time = Never;

        internal Watch(Action ring) => _ring = ring;

        internal long Time => Volatile.Read(ref _time);

        /// <summary>
        /// Rings once at a time of the Stopwatch, in ticks, unless another is set before; <see cref="Never"/>: not at all. Setting
        /// the same time again, or a later one, is cheap.
        /// </summary>
        public void Set(long time)
        {
            if (time == Volatile.Read(ref _time))
                return;
            Interlocked.Exchange(ref _time, time);
            if (time < Volatile.Read(ref _until))
                _wake.Wake();
        }

        /// <summary>When this returns, it neither rings nor will.</summary>
        public void Dispose()
        {
            lock (_gate)
                _watches.Remove(this);
        }

        internal long RingIfDue(long now)
        {
            long time = Volatile.Read(ref _time);
            if (time > now)
                return time;
            if (Interlocked.CompareExchange(ref _time, Never, time) == time)
                _ring();
            return Time;
        }
    }
}
