using System.Text;

namespace Godwit.Cli.Drill;

/// <summary>What a guest's console proves: no wrong word, counter and clock never back, no byte lost or doubled.</summary>
public static class ConsoleChecks
{
    /// <summary>Lines that the self-checking guest wrote begin with this; other lines are the kernel's and the shell's.</summary>
    public const string LinePrefix = "godwit-";

    public static IEnumerable<Check> Run(string guest, ReadOnlySpan<byte> console)
    {
        (List<GuestLine> lines, List<string> damaged) = Lines(console);
        return
        [
            Words(guest, lines),
            Counter(guest, lines),
            Clock(guest, lines),
            Bytes(guest, lines, damaged),
        ];
    }

    /// <summary>The guest's lines in order, and those that begin like one but cannot be read. A last line without its end is left out.</summary>
    public static (List<GuestLine> Lines, List<string> Damaged) Lines(ReadOnlySpan<byte> console)
    {
        List<GuestLine> lines = [];
        List<string> damaged = [];
        int end = console.LastIndexOf((byte)'\n');
        string text = Encoding.ASCII.GetString(end < 0 ? default : console[..end]);
        foreach (string raw in text.Split('\n'))
        {
            string line = raw.TrimEnd('\r');
            if (!line.Contains(" tick=", StringComparison.Ordinal) && !line.StartsWith(LinePrefix, StringComparison.Ordinal))
                continue;
            if (IsRemark(line))
                continue;
            if (!line.StartsWith(LinePrefix, StringComparison.Ordinal) || GuestLine.Parse(line) is not { } parsed)
                damaged.Add(line);
            else
                lines.Add(parsed);
        }
        return (lines, damaged);
    }

    // What the guest says beside its ticks: what it starts with, its first wrong word, the end of a Ready call.
    private static bool IsRemark(string line)
    {
        string[] words = line.Split(' ', 3);
        return words.Length > 1 && words[0].StartsWith(LinePrefix, StringComparison.Ordinal)
            && (words[1] is "start" or "mismatch" || words[1].StartsWith("moved=", StringComparison.Ordinal));
    }

    private static Check Words(string guest, List<GuestLine> lines)
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

    private static Check Counter(string guest, List<GuestLine> lines)
    {
        for (int i = 1; i < lines.Count; i++)
            if (lines[i].Tick <= lines[i - 1].Tick)
                return new Check($"{guest}: counter never back", false, $"tick {lines[i].Tick} came after {lines[i - 1].Tick}");
        return new Check($"{guest}: counter never back", lines.Count > 1, $"{lines.Count} ticks");
    }

    private static Check Clock(string guest, List<GuestLine> lines)
    {
        string name = $"{guest}: clock never back";
        for (int i = 1; i < lines.Count; i++)
            if (lines[i].MonotonicNanoseconds < lines[i - 1].MonotonicNanoseconds)
                return new Check(name, false, $"the guest's clock went from {lines[i - 1].MonotonicNanoseconds} to {lines[i].MonotonicNanoseconds} ns");
        if (lines.Count > 0 && lines[^1].ClockBack != 0)
            return new Check(name, false, $"the guest saw its clock go back {lines[^1].ClockBack} times");
        return new Check(name, lines.Count > 1, lines.Count > 1 ? $"{(lines[^1].MonotonicNanoseconds - lines[0].MonotonicNanoseconds) / 1e9:0.0} s of guest time" : "no two readings");
    }

    private static Check Bytes(string guest, List<GuestLine> lines, List<string> damaged)
    {
        string name = $"{guest}: no console byte lost or doubled";
        if (damaged.Count > 0)
            return new Check(name, false, $"a damaged line: {damaged[0]}");
        for (int i = 1; i < lines.Count; i++)
            if (lines[i].Tick != lines[i - 1].Tick + 1)
                return new Check(name, false, $"tick {lines[i].Tick} follows {lines[i - 1].Tick}");
        return new Check(name, lines.Count > 1, $"{lines.Count} consecutive lines");
    }
}
