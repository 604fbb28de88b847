using System.Globalization;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>What the built-in guest does, from its command line (docs/builtin-guest.md), e.g. "working-set=64M rate=13000 cooperate=on free=half".</summary>
public sealed record BuiltinGuestParameters
{
    /// <summary>Pages of the working set; null for a quarter of RAM.</summary>
    public int? WorkingSetPages { get; init; }

    /// <summary>Pages rewritten a second.</summary>
    public int DirtyPagesPerSecond { get; init; } = 1000;

    /// <summary>Pages verified a second.</summary>
    public int VerifiedPagesPerSecond { get; init; } = 4000;

    /// <summary>Whether the guest subscribes to migrations, names its free pages and calls Ready.</summary>
    public bool Cooperate { get; init; } = true;

    /// <summary>Pages of the free list, filled with random-looking bytes; null for half of RAM.</summary>
    public int? FreePages { get; init; }

    /// <summary>Guest milliseconds between lines.</summary>
    public int IntervalMilliseconds { get; init; } = 100;

    /// <summary>Milliseconds between two ticks of its timer: how long it may be halted while it has nothing to do.</summary>
    public int PeriodMilliseconds { get; init; } = 1;

    /// <summary>Lines after which the guest ends by the debug-exit port: 0 where every check held, else 1. 0: never.</summary>
    public int Ticks { get; init; }

    /// <summary>The line after which the guest corrupts a word of its working set, so that its check is seen to fail. 0: never.</summary>
    public int CorruptTick { get; init; }

    private const int MaxRate = 1_000_000_000;

    /// <summary>Reads a command line. Throws <see cref="MachineException"/> with one line that names the bad part.</summary>
    public static BuiltinGuestParameters Parse(string commandLine)
    {
        BuiltinGuestParameters parameters = new();
        foreach (string part in commandLine.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? part : part[..equals];
            string value = equals < 0 ? "" : part[(equals + 1)..];
            parameters = name switch
            {
                "working-set" => parameters with { WorkingSetPages = Pages(part, value) },
                "rate" => parameters with { DirtyPagesPerSecond = Number(part, value, 0, MaxRate) },
                "verify" => parameters with { VerifiedPagesPerSecond = Number(part, value, 0, MaxRate) },
                "cooperate" => parameters with { Cooperate = Switch(part, value) },
                "free" => parameters with { FreePages = value switch { "half" => null, "none" => 0, _ => Pages(part, value) } },
                "interval" => parameters with { IntervalMilliseconds = Number(part, value, 1, 3_600_000) },
                "period" => parameters with { PeriodMilliseconds = Number(part, value, 1, 1000) },
                "ticks" => parameters with { Ticks = Number(part, value, 0, int.MaxValue) },
                "corrupt" => parameters with { CorruptTick = Number(part, value, 0, int.MaxValue) },
                _ => throw new MachineException($"the built-in guest has no parameter '{name}'; it has working-set, rate, verify, cooperate, free, interval, period, ticks and corrupt"),
            };
        }
        return parameters;
    }

    private static int Number(string part, string value, int min, int max) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= min && number <= max
            ? number
            : throw new MachineException($"built-in guest: '{part}' must be a number from {min} to {max}");

    private static bool Switch(string part, string value) => value switch
    {
        "on" => true,
        "off" => false,
        _ => throw new MachineException($"built-in guest: '{part}' must be on or off"),
    };

    /// <summary>A size with the suffix K, M or G, in whole pages.</summary>
    private static int Pages(string part, string value)
    {
        int shift = value.Length == 0 ? -1 : value[^1] switch { 'K' => 10, 'M' => 20, 'G' => 30, _ => -1 };
        if (shift > 0
            && uint.TryParse(value[..^1], NumberStyles.None, CultureInfo.InvariantCulture, out uint number)
            && number != 0
            && ((ulong)number << shift) % PageNumber.Size == 0
            && ((ulong)number << shift) / PageNumber.Size <= int.MaxValue)
            return (int)(((ulong)number << shift) / PageNumber.Size);
        throw new MachineException($"built-in guest: '{part}' must be a size in whole pages such as 64M or 512K");
    }
}
