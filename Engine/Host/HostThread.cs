namespace Godwit.Engine.Host;

/// <summary>Host scheduling of the calling thread.</summary>
public static class HostThread
{
    /// <summary>
    /// Lowers the calling thread's priority by nice value, so that the silo's own threads answer probes under load.
    /// Lowering needs no privilege; where it is refused all the same, the thread keeps its priority.
    /// </summary>
    public static void SetNice(int nice) => _ = Native.SetPriority(Native.PRIO_PROCESS, Native.Gettid(), nice);

    // struct rusage of the x86-64 Linux ABI: ru_minflt is the ninth word.
    private const int UsageWords = 18, MinorFaults = 8;

    /// <summary>Page faults of the calling thread that needed no disk; Linux only. Takes a system call.</summary>
    public static unsafe long PageFaults
    {
        get
        {
            long* usage = stackalloc long[UsageWords];
            return Native.GetResourceUsage(Native.RUSAGE_THREAD, usage) == 0 ? usage[MinorFaults] : 0;
        }
    }

    /// <summary>Nanoseconds of a processor's time that the calling thread has used; Linux only. Takes a system call.</summary>
    public static unsafe long CpuNanoseconds
    {
        get
        {
            Native.Timespec time;
            _ = Native.ClockGettime(Native.CLOCK_THREAD_CPUTIME_ID, &time);
            return time.Seconds * 1_000_000_000 + time.Nanoseconds;
        }
    }
}
