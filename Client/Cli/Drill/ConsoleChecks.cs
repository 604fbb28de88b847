namespace Godwit.Cli.Drill;

/// <summary>What a guest's console proves: no wrong word, counter and clock never back, no byte lost or doubled.</summary>
public static class ConsoleChecks
{
    // Lines come when the network and a loaded host let them; a clock that was set is off by more.
    private static readonly TimeSpan s_paceTolerance = TimeSpan.FromSeconds(2);

    public static IEnumerable<Check> Run(string guest, GuestConsole console) =>
    [
        Words(guest, console.Ticks),
        Counter(guest, console.Ticks),
        Clock(guest, console.Ticks),
        Pace(guest, console),
        Bytes(guest, console),
    ];

    private static Check Words(string guest, IReadOnlyList<GuestLine> lines)
    {
        string name = $"{guest}: no wrong word";
        if (lines.Count == 0)
            return new Check(name, false, "the guest's workload never reported");
        long verified = lines[^1].PagesVerified;
        long wrong = lines.Max(line => line.WrongWords);
        if (wrong != 0)
            return new Check(name, false, $"the guest found {wrong} wrong words");
        return verified == 0
            ? new Check(name, false, "the guest verified no page")
            : new Check(name, true, $"{verified} pages verified by the guest");
    }

    private static Check Counter(string guest, IReadOnlyList<GuestLine> lines)
    {
        for (int i = 1; i < lines.Count; i++)
            if (lines[i].Tick <= lines[i - 1].Tick)
                return new Check($"{guest}: counter never back", false, $"tick {lines[i].Tick} came after {lines[i - 1].Tick}");
        return new Check($"{guest}: counter never back", lines.Count > 1, $"{lines.Count} ticks");
    }

    private static Check Clock(string guest, IReadOnlyList<GuestLine> lines)
    {
        string name = $"{guest}: clock never back";
        for (int i = 1; i < lines.Count; i++)
            if (lines[i].MonotonicNanoseconds < lines[i - 1].MonotonicNanoseconds)
                return new Check(name, false, $"the guest's clock went from {lines[i - 1].MonotonicNanoseconds} to {lines[i].MonotonicNanoseconds} ns");
        if (lines.Count > 0 && lines[^1].ClockBack != 0)
            return new Check(name, false, $"the guest saw its clock go back {lines[^1].ClockBack} times");
        return new Check(name, lines.Count > 1, lines.Count > 1 ? $"{(lines[^1].MonotonicNanoseconds - lines[0].MonotonicNanoseconds) / 1e9:0.0} s of guest time" : "no two readings");
    }

    // A guest that slept while its clock was set back sees nothing of it; the host does.
    private static Check Pace(string guest, GuestConsole console)
    {
        string name = $"{guest}: clock keeps pace with the host's";
        if (console.Ticks.Count < 2)
            return new Check(name, false, "no two readings");
        TimeSpan passed = TimeSpan.FromMicroseconds((console.Ticks[^1].MonotonicNanoseconds - console.Ticks[0].MonotonicNanoseconds) / 1e3);
        return new Check(name, (passed - console.HostTime).Duration() <= s_paceTolerance, $"{passed.TotalSeconds:0.0} s in the guest, {console.HostTime.TotalSeconds:0.0} s outside");
    }

    private static Check Bytes(string guest, GuestConsole console)
    {
        string name = $"{guest}: no console byte lost or doubled";
        IReadOnlyList<GuestLine> lines = console.Ticks;
        if (console.Damaged.Count > 0)
            return new Check(name, false, $"a damaged line: {console.Damaged[0]}");
        for (int i = 1; i < lines.Count; i++)
            if (lines[i].Tick != lines[i - 1].Tick + 1)
                return new Check(name, false, $"tick {lines[i].Tick} follows {lines[i - 1].Tick}");
        return new Check(name, lines.Count > 1, $"{lines.Count} consecutive lines");
    }
}
