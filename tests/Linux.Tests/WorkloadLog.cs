using Godwit.Cli.Drill;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>The workload's lines on a console, which must be whole, in order and without a complaint.</summary>
internal static class WorkloadLog
{
    private const string Name = "godwit-workload";

    /// <summary>Reads on until so many more lines have come; returns the last one's number.</summary>
    public static async Task<long> ReadTicksAsync(GuestSession guest, int ticks)
    {
        for (int i = 0; i < ticks; i++)
        {
            await guest.ReadToAsync($"{Name} tick=");
            await guest.ReadToAsync("\r\n");
        }
        return Check(guest.Text);
    }

    /// <summary>Checks every whole line; returns the last one's number.</summary>
    public static long Check(string console)
    {
        GuestLine? last = null;
        string whole = console[..(console.LastIndexOf('\n') + 1)];
        Assert.DoesNotContain("mismatch", whole, StringComparison.Ordinal);
        foreach (string line in whole.Split("\r\n").Where(line => line.Contains("tick=", StringComparison.Ordinal)))
        {
            Assert.StartsWith($"{Name} tick=", line, StringComparison.Ordinal);
            GuestLine tick = GuestLine.Parse(line) ?? throw new FormatException($"a damaged line: {line}");
            Assert.Equal(0, tick.WrongWords);
            Assert.Equal(0, tick.ClockBack);
            if (last is not null)
            {
                Assert.Equal(last.Tick + 1, tick.Tick);
                Assert.True(tick.MonotonicNanoseconds > last.MonotonicNanoseconds, line);
                Assert.True(tick.PagesVerified > last.PagesVerified, line);
            }
            last = tick;
        }
        return last?.Tick ?? throw new FormatException($"no line of the workload in:\n{console}");
    }
}
