using System.Diagnostics;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Host;

namespace Godwit.Engine.Interpreter;

/// <summary>What a back end does on its vCPU's thread while the guest stands still.</summary>
public enum CodeWork
{
    /// <summary>Decoding one block.</summary>
    Decoding,

    /// <summary>Translating one block to host code.</summary>
    Translation,

    /// <summary>Making room in a code cache.</summary>
    Eviction,

    /// <summary>Taking back jumps between translations, since what is executable has changed places.</summary>
    Unlinking,

    /// <summary>Dropping code that was overwritten.</summary>
    Invalidation,
}

/// <summary>
/// How long such work took, and the end of a slice by time: a slice is so many instructions, and where these are slow
/// (cold, not translated, or without an entry in the TLB) timers would have to wait for them. Whoever goes such a slow way
/// counts a step; now and then one of them looks at the clock and asks for an exit when the time is over.
/// </summary>
internal sealed unsafe class WorkLog(VcpuContext* c)
{
    /// <summary>Slow steps, each at most a microsecond or two, between looks at the clock. A power of two.</summary>
    private const uint StepsBetweenLooks = 32;

    private const long SliceNanoseconds = 100_000;

    /// <summary>Nanoseconds of a Stopwatch tick: 1 on Linux.</summary>
    private static readonly long _tick = Math.Max(1, 1_000_000_000 / Stopwatch.Frequency);

    private readonly long[] _longest = new long[(int)CodeWork.Invalidation + 1], _total = new long[(int)CodeWork.Invalidation + 1];
    private long _end = long.MaxValue;

    /// <summary>
    /// Counts the thread's processor time, so that what else runs on the host does not show; a system call each time,
    /// for measurements only.
    /// </summary>
    public bool CountsProcessorTime { get; set; }

    /// <summary>Nanoseconds since some beginning.</summary>
    public long Now => CountsProcessorTime ? HostThread.CpuNanoseconds : Stopwatch.GetTimestamp() * _tick;

    /// <summary>The longest that one piece of this work took.</summary>
    public TimeSpan Longest(CodeWork work) => TimeSpan.FromTicks(_longest[(int)work] / 100);

    /// <summary>How long all of this work has taken.</summary>
    public TimeSpan Total(CodeWork work) => TimeSpan.FromTicks(_total[(int)work] / 100);

    /// <summary>The run that begins ends after a tenth of a millisecond of slow ways, or by its budget alone.</summary>
    public void Begin(bool limited) => _end = limited ? Now + SliceNanoseconds : long.MaxValue;

    /// <summary>A piece of work is done that began at a <see cref="Now"/>.</summary>
    public void Done(CodeWork work, long began)
    {
        long now = Now;
        ref long longest = ref _longest[(int)work];
        longest = Math.Max(longest, now - began);
        _total[(int)work] += now - began;
        Look(now);
    }

    /// <summary>The context's vCPU goes a slow way.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Step(VcpuContext* c)
    {
        if ((++c->SlowSteps & (StepsBetweenLooks - 1)) == 0)
            Look(c);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Look(VcpuContext* c)
    {
        WorkLog work = ((BlockCache)Vcpu.Of(c).Code).Work;
        work.Look(work.Now);
    }

    private void Look(long now)
    {
        if (now > _end)
            Volatile.Write(ref c->ExitRequest, 1);
    }
}
