namespace Godwit.Engine.Machine;

/// <summary>
/// Guest time derived from retired instructions (--clock icount): the same run reads the same times. An idle vCPU does
/// not wait but skips to the next deadline.
/// </summary>
public sealed class InstructionClock(ulong tscHz, Func<ulong> retiredInstructions) : IMachineClock
{
    /// <summary>Guest nanoseconds an instruction takes: 100 million instructions a second.</summary>
    public const ulong NanosecondsPerInstruction = 10;

    // 2026-01-01T00:00:00Z, so that the guest's wall clock is the same in every run.
    private const ulong WallAtZero = 1_767_225_600_000_000_000;

    private ulong _offset;

    public ulong Nanoseconds => _offset + retiredInstructions() * NanosecondsPerInstruction;

    public ulong TscHz => tscHz;

    public ulong Tsc => HostClock.TscOf(Nanoseconds, tscHz);

    public ulong WallNanoseconds => WallAtZero + Nanoseconds;

    public void Start()
    {
    }

    public void Stop()
    {
    }

    public void Set(ulong nanoseconds) => _offset = nanoseconds - retiredInstructions() * NanosecondsPerInstruction;

    /// <summary>Lets an idle machine's time reach a deadline.</summary>
    public void SkipTo(ulong nanoseconds)
    {
        ulong now = Nanoseconds;
        if (nanoseconds > now)
            _offset += nanoseconds - now;
    }
}
