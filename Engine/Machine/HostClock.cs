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

/// <summary>Guest time that passes with the host's monotonic clock while the machine runs.</summary>
public sealed class HostClock(ulong tscHz) : IMachineClock
{
    // CLOCK_MONOTONIC in nanoseconds on Linux, the only host of this clock's resolution that is supported.
    private static readonly long s_nanosecondsPerTick = 1_000_000_000 / Stopwatch.Frequency;

    private readonly Lock _gate = new();
    private ulong _stoppedAt;
    private long _startedAt;
    private bool _running;

    // Readers take no lock: start and stop happen only while no vCPU runs, and a torn view is prevented by ordering.
    public ulong Nanoseconds => Volatile.Read(ref _running)
        ? _stoppedAt + (ulong)((Stopwatch.GetTimestamp() - _startedAt) * s_nanosecondsPerTick)
        : _stoppedAt;

    public ulong TscHz => tscHz;

    public ulong Tsc => TscOf(Nanoseconds, tscHz);

    public ulong WallNanoseconds => (ulong)(DateTime.UtcNow - DateTime.UnixEpoch).Ticks * 100;

    public void Start()
    {
        lock (_gate)
        {
            if (_running)
                return;
            _startedAt = Stopwatch.GetTimestamp();
            Volatile.Write(ref _running, true);
        }
    }

    public void Stop()
    {
        lock (_gate)
        {
            if (!_running)
                return;
            ulong now = Nanoseconds;
            Volatile.Write(ref _running, false);
            _stoppedAt = now;
        }
    }

    public void Set(ulong nanoseconds)
    {
        lock (_gate)
            _stoppedAt = nanoseconds;
    }

    internal static ulong TscOf(ulong nanoseconds, ulong hz) =>
        hz == 1_000_000_000 ? nanoseconds : (ulong)((UInt128)nanoseconds * hz / 1_000_000_000);
}
