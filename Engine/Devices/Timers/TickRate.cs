namespace Godwit.Engine.Devices.Timers;

/// <summary>
/// A counter's rate in ticks a second, and exact conversions: <see cref="TicksIn"/> rounds down and
/// <see cref="NanosecondsFor"/> up, so that a deadline computed for tick n never fires before tick n has come.
/// </summary>
public readonly record struct TickRate(ulong Hz)
{
    private const ulong NanosecondsPerSecond = 1_000_000_000;

    /// <summary>Whole ticks that have passed after so many nanoseconds.</summary>
    public ulong TicksIn(ulong nanoseconds) => Saturate((UInt128)nanoseconds * Hz / NanosecondsPerSecond);

    /// <summary>The least number of nanoseconds after which so many ticks have passed; saturates.</summary>
    public ulong NanosecondsFor(ulong ticks) => Saturate(((UInt128)ticks * NanosecondsPerSecond + Hz - 1) / Hz);

    /// <summary>A sum of times that stops at the end of time rather than wrapping to its start.</summary>
    public static ulong Later(ulong start, ulong nanoseconds) => start + nanoseconds < start ? ulong.MaxValue : start + nanoseconds;

    private static ulong Saturate(UInt128 value) => value > ulong.MaxValue ? ulong.MaxValue : (ulong)value;
}
