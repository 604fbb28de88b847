using System.Globalization;

namespace Godwit.Cli.Drill;

/// <summary>
/// One line of a self-checking guest: `godwit-… tick=1 mono_ns=… pages=… verified=… wrong=0 max_gap_ns=… clock_back=0 gap_ns=… …`.
/// Unknown keys are kept out; missing ones make the line malformed.
/// </summary>
public sealed record GuestLine(long Tick, long MonotonicNanoseconds, long PagesWritten, long PagesVerified, long WrongWords, long GapNanoseconds, long ClockBack)
{
    /// <summary>Parses a line that starts with the guest's name; null when a key is missing or a number is damaged.</summary>
    public static GuestLine? Parse(string line)
    {
        Dictionary<string, long> values = [];
        foreach (string word in line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1))
        {
            int equals = word.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || !long.TryParse(word.AsSpan(equals + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long value))
                return null;
            if (!values.TryAdd(word[..equals], value))
                return null;
        }
        return values.TryGetValue("tick", out long tick)
            && values.TryGetValue("mono_ns", out long mono)
            && values.TryGetValue("pages", out long pages)
            && values.TryGetValue("verified", out long verified)
            && values.TryGetValue("wrong", out long wrong)
            && values.TryGetValue("gap_ns", out long gap)
            && values.TryGetValue("clock_back", out long back)
                ? new GuestLine(tick, mono, pages, verified, wrong, gap, back)
                : null;
    }
}
