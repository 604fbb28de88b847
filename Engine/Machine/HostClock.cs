using System.Diagnostics;
using Godwit.Engine.Devices;

namespace Godwit.Engine.Machine;

/// <summary>A machine's time as its vCPU thread drives it.</summary>
public interface IMachineClock : IGuestClock
{
    /// <summary>Guest time begins to pass.</summary>
    void Start();

    /// <summary>Guest time stands still.</summary>
    void Stop();

    /// <summary>Sets guest time. Stopped only.</summary>
    void Set(ulong nanoseconds);
}

/// <summary>Guest time that passes with the host's monotonic clock while the machine runs. Driven by one thread, read by any.</summary>
public sealed class HostClock(ulong tscHz) : IMachineClock
{
    // CLOCK_MONOTONIC counts nanoseconds on Linux, the only host.
    private static readonly long s_nanosecondsPerTick = 1_000_000_000 / Stopwatch.Frequency;

    // Replaced as a whole, so that a reader on another thread never sees half a change.
    private volatile Anchor _anchor = new(0, null);

    public ulong Nanoseconds
    {
        get
        {
            Anchor anchor = _anchor;
            return anchor.StartedAt is { } started
                ? anchor.Nanoseconds + (ulong)((Stopwatch.GetTimestamp() - started) * s_nanosecondsPerTick)
                : anchor.Nanoseconds;
        }
    }

    public ulong TscHz => tscHz;

    public ulong Tsc => TscOf(Nanoseconds, tscHz);

    public ulong WallNanoseconds => (ulong)(DateTime.UtcNow - DateTime.UnixEpoch).Ticks * 100;

    /// <summary>When guest time reaches a value, in ticks of the Stopwatch; long.MaxValue while it stands still, or in the far future.</summary>
    public long TicksAt(ulong nanoseconds)
    {
        Anchor anchor = _anchor;
        if (anchor.StartedAt is not { } started)
            return long.MaxValue;
        long left = (long)(nanoseconds - anchor.Nanoseconds) / s_nanosecondsPerTick;
        return left < long.MaxValue - started ? started + left : long.MaxValue;
    }

    public void Start() => _anchor = new Anchor(Nanoseconds, Stopwatch.GetTimestamp());

    public void Stop() => _anchor = new Anchor(Nanoseconds, null);

    public void Set(ulong nanoseconds) => _anchor = new Anchor(nanoseconds, null);

    internal static ulong TscOf(ulong nanoseconds, ulong hz) =>
        hz == 1_000_000_000 ? nanoseconds : (ulong)((UInt128)nanoseconds * hz / 1_000_000_000);

    /// <param name="Nanoseconds">Guest time at the anchor.</param>
    /// <param name="StartedAt">The host's time at the anchor; null while guest time stands still.</param>
    private sealed record Anchor(ulong Nanoseconds, long? StartedAt);
}
