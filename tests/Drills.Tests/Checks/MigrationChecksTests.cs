using Godwit.Cli.Drill;
using Xunit;

namespace Godwit.Drills.Tests.Checks;

public sealed class MigrationChecksTests
{
    [Fact]
    public void IntervalsOneAfterTheOtherPass() =>
        Assert.True(MigrationChecks.OneRunner("g", [Interval("b", 2, 20, null), Interval("a", 1, 0, 20)]).Held);

    [Theory]
    [InlineData(1L, 0L, 21L, 2L, 20L, 30L)]
    [InlineData(1L, 0L, null, 2L, 20L, 30L)]
    [InlineData(2L, 0L, 10L, 1L, 20L, 30L)]
    public void OverlappingOpenOrBackwardIntervalsFail(long epoch1, long start1, long? stop1, long epoch2, long start2, long? stop2) =>
        Assert.False(MigrationChecks.OneRunner("g", [Interval("a", epoch1, start1, stop1), Interval("b", epoch2, start2, stop2)]).Held);

    [Fact]
    public void NoIntervalAtAllFails() => Assert.False(MigrationChecks.OneRunner("g", []).Held);

    [Fact]
    public void EqualHashesPass() => Assert.True(MigrationChecks.EqualMemory("g", [Migration("ab", "ab")]).Held);

    [Theory]
    [InlineData("ab", "ac")]
    [InlineData("", "")]
    public void UnequalOrMissingHashesFail(string source, string target) =>
        Assert.False(MigrationChecks.EqualMemory("g", [Migration(source, target)]).Held);

    [Fact]
    public void TheTimelineIsWellFormedXmlAndMarksEachBlackout()
    {
        string svg = TimelineSvg.Draw([Migration("a", "a"), Migration("b", "b")]);
        System.Xml.Linq.XDocument document = System.Xml.Linq.XDocument.Parse(svg);
        Assert.Equal(2, document.Descendants().Count(element => element.Name.LocalName == "title" && element.Value.StartsWith("blackout", StringComparison.Ordinal)));
    }

    private static RunInterval Interval(string silo, long epoch, long start, long? stop) => new("vm", silo, epoch, start, stop);

    private static DrillMigration Migration(string source, string target) => new()
    {
        Guest = "g<&>",
        Cooperation = false,
        GuestWasReady = false,
        From = "a",
        To = "b",
        Rounds = [new DrillRound(1, 0, 10, 100, 5, 400_000, 30, false), new DrillRound(2, 10, 3, 30, 0, 120_000, 0, true)],
        TotalMilliseconds = 15,
        BlackoutMilliseconds = 3,
        VerificationMilliseconds = 2,
        Bytes = 520_000,
        FreePagesSkipped = 0,
        SourceHash = source,
        TargetHash = target,
        Epoch = 2,
    };
}
