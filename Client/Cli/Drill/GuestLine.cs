using System.Globalization;

namespace Godwit.Cli.Drill;

/// <summary>One line of a self-checking guest (docs/builtin-guest.md): its name, then fields in a fixed order.</summary>
public sealed record GuestLine(long Tick, long MonotonicNanoseconds, long PagesWritten, long PagesVerified, long WrongWords, long GapNanoseconds, long ClockBack)
{
    private static readonly string[] s_fields = ["tick", "mono_ns", "pages", "verified", "wrong", "max_gap_ns", "clock_back", "gap_ns"];

    /// <summary>The built-in guest's last field, which the Linux workload does not have.</summary>
    private const string OptionalField = "stopped";

    /// <summary>Parses a line that starts with the guest's name; null when it is not exactly such a line: a byte of it is missing or wrong.</summary>
    public static GuestLine? Parse(string line)
    {
        string[] words = line.Split(' ');
        if (words.Length - 1 != s_fields.Length && !(words.Length - 2 == s_fields.Length && Value(words[^1], OptionalField) is not null))
            return null;
        long[] values = new long[s_fields.Length];
        for (int i = 0; i < s_fields.Length; i++)
        {
            if (Value(words[i + 1], s_fields[i]) is not { } value)
                return null;
            values[i] = value;
        }
        return new GuestLine(values[0], values[1], values[2], values[3], values[4], values[7], values[6]);
    }

    private static long? Value(string word, string field) =>
        word.Length > field.Length + 1 && word.StartsWith(field, StringComparison.Ordinal) && word[field.Length] == '='
        && long.TryParse(word.AsSpan(field.Length + 1), NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            ? value
            : null;
}
