using System.Diagnostics;
using System.Text;
using Godwit.Cli.Drill;
using Xunit;

namespace Godwit.Drills.Tests.Checks;

public sealed class ConsoleChecksTests
{
    [Fact]
    public void AGoodConsolePassesEveryCheck() =>
        Assert.All(Run(Line(1, 100), Line(2, 200), "[    1.0] kernel noise", "godwit-guest moved=1 ready_ns=5", Line(3, 300)), check => Assert.True(check.Held, check.ToString()));

    [Theory]
    [InlineData("no wrong word")]
    [InlineData("counter never back")]
    [InlineData("clock never back")]
    [InlineData("no console byte lost or doubled")]
    public void AnEmptyConsoleFailsEveryCheck(string name) => Assert.False(Find(Run(), name).Held);

    [Fact]
    public void AWrongWordFails() => Assert.False(Find(Run(Line(1, 100), Line(2, 200, wrong: 1)), "no wrong word").Held);

    [Fact]
    public void AGuestThatVerifiedNothingFails() => Assert.False(Find(Run(Line(1, 100, verified: 0)), "no wrong word").Held);

    [Fact]
    public void ATickThatRepeatsFailsCounterAndBytes()
    {
        Check[] checks = Run(Line(1, 100), Line(1, 100));
        Assert.False(Find(checks, "counter never back").Held);
        Assert.False(Find(checks, "no console byte lost or doubled").Held);
    }

    [Fact]
    public void AClockThatGoesBackFails() => Assert.False(Find(Run(Line(1, 300), Line(2, 200)), "clock never back").Held);

    [Fact]
    public void AClockThatWasSetWhileTheGuestSleptFails()
    {
        Check[] checks = [.. ConsoleChecks.Run("guest", Arrived(TimeSpan.FromSeconds(5), Line(1, 100), Line(2, 200)))];
        Assert.False(Find(checks, "clock keeps pace with the host's").Held);
        Assert.True(Find(checks, "clock never back").Held);
    }

    [Fact]
    public void AMissingLineFails() => Assert.False(Find(Run(Line(1, 100), Line(3, 300)), "no console byte lost or doubled").Held);

    [Theory]
    [InlineData(4)]
    [InlineData(20)]
    [InlineData(60)]
    public void AByteLostInsideALineFails(int at)
    {
        string good = Line(2, 200);
        Assert.Contains(Run(Line(1, 100), good.Remove(at, 1), Line(3, 300)), check => !check.Held);
    }

    private static Check[] Run(params string[] lines) =>
        [.. ConsoleChecks.Run("guest", Arrived(TimeSpan.Zero, lines))];

    // The lines as they come from the network: byte by byte is the worst it may do.
    private static GuestConsole Arrived(TimeSpan apart, params string[] lines)
    {
        GuestConsole console = new();
        long now = 0;
        foreach (string line in lines)
        {
            foreach (byte value in Encoding.ASCII.GetBytes(line + "\r\n"))
                console.Add([value], now);
            now += (long)(apart.TotalSeconds * Stopwatch.Frequency);
        }
        return console;
    }

    private static Check Find(Check[] checks, string name) => Assert.Single(checks, check => check.Name.EndsWith(name, StringComparison.Ordinal));

    private static string Line(long tick, long mono, long wrong = 0, long verified = 7) =>
        $"godwit-guest tick={tick} mono_ns={mono} pages=9 verified={verified} wrong={wrong} max_gap_ns=5 clock_back=0 gap_ns=5 stopped=0";
}
