using System.Buffers;
using System.Diagnostics;
using System.Text;

namespace Godwit.Cli.Drill;

/// <summary>A guest's console as it comes in: all bytes, the self-checking guest's lines, and when each of them arrived.</summary>
public sealed class GuestConsole
{
    /// <summary>Lines that the self-checking guest wrote begin with this; other lines are the kernel's and the shell's.</summary>
    public const string LinePrefix = "godwit-";

    private readonly ArrayBufferWriter<byte> _bytes = new();
    private readonly StringBuilder _line = new();
    private readonly List<GuestLine> _ticks = [];
    private readonly List<string> _damaged = [];
    private long _firstArrival;

    public byte[] Bytes => _bytes.WrittenSpan.ToArray();

    /// <summary>The guest's tick lines in order.</summary>
    public IReadOnlyList<GuestLine> Ticks => _ticks;

    /// <summary>Lines that begin like the guest's but cannot be read.</summary>
    public IReadOnlyList<string> Damaged => _damaged;

    /// <summary>Host time from the arrival of the first tick line to that of the last.</summary>
    public TimeSpan HostTime { get; private set; }

    /// <summary>Takes the next bytes. A last line without its end waits for it.</summary>
    public void Add(ReadOnlySpan<byte> bytes, long arrival)
    {
        _bytes.Write(bytes);
        foreach (byte value in bytes)
            if (value == '\n')
                EndLine(arrival);
            else
                _line.Append((char)value);
    }

    private void EndLine(long arrival)
    {
        string line = _line.ToString().TrimEnd('\r');
        _line.Clear();
        if (!line.Contains(" tick=", StringComparison.Ordinal) && !line.StartsWith(LinePrefix, StringComparison.Ordinal))
            return;
        if (IsRemark(line))
            return;
        if (!line.StartsWith(LinePrefix, StringComparison.Ordinal) || GuestLine.Parse(line) is not { } tick)
        {
            _damaged.Add(line);
            return;
        }
        _ticks.Add(tick);
        if (_ticks.Count == 1)
            _firstArrival = arrival;
        HostTime = Stopwatch.GetElapsedTime(_firstArrival, arrival);
    }

    // What the guest says beside its ticks: what it starts with, its first wrong word, the end of a Ready call.
    private static bool IsRemark(string line)
    {
        string[] words = line.Split(' ', 3);
        return words.Length > 1 && words[0].StartsWith(LinePrefix, StringComparison.Ordinal)
            && (words[1] is "start" or "mismatch" || words[1].StartsWith("moved=", StringComparison.Ordinal));
    }
}
