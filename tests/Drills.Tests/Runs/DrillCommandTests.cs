using System.Text.Json;
using System.Xml.Linq;
using Godwit.Drills.Tests.Processes;
using Xunit;

namespace Godwit.Drills.Tests.Runs;

/// <summary>`godwit drill --guest builtin` as people run it: a store and two silos, from the first process to the report.</summary>
public sealed class DrillCommandTests
{
    private static readonly string[] s_small = ["drill", "--guest", "builtin", "--memory", "16M", "--working-set", "2", "--rate", "500", "--moves", "1"];

    [Fact]
    public async Task DrillPassesAndLeavesAReportAndNothingElse()
    {
        using TemporaryFolder folder = new();
        string temporary = Directory.CreateDirectory(folder["tmp"]).FullName;

        Finished drill = await GodwitProcess.RunAsync(temporary, [.. s_small, "--seed", "7", "--report", folder["report"]]);

        Assert.True(drill.ExitCode == 0, drill.Output + drill.Errors);
        Assert.Empty(GodwitProcess.WithArgument(temporary));
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary, "godwit*"));
        Assert.Contains("drill passed", drill.Output, StringComparison.Ordinal);
        JsonElement report = Report(folder);
        Assert.True(report.GetProperty("passed").GetBoolean());
        Assert.Equal(7, report.GetProperty("seed").GetInt32());
        Assert.All(report.GetProperty("checks").EnumerateArray(), check => Assert.True(check.GetProperty("held").GetBoolean()));
        JsonElement[] migrations = [.. report.GetProperty("migrations").EnumerateArray()];
        Assert.Equal(2, migrations.Length);
        Assert.All(migrations, migration =>
        {
            Assert.NotEqual("", migration.GetProperty("sourceHash").GetString());
            Assert.Equal(migration.GetProperty("sourceHash").GetString(), migration.GetProperty("targetHash").GetString());
            Assert.True(migration.GetProperty("rounds").EnumerateArray().Last().GetProperty("final").GetBoolean());
        });
        // Cooperation is what it is for: the free half of memory is not sent.
        Assert.True(Sent(migrations[1]) < Sent(migrations[0]), $"{Sent(migrations[1])} bytes with the guest's help, {Sent(migrations[0])} without");
        Assert.Equal("svg", XDocument.Load(Path.Combine(folder["report"], "timeline.svg")).Root!.Name.LocalName);
        Assert.Contains("godwit-guest tick=1 ", await File.ReadAllTextAsync(Path.Combine(folder["report"], "console.log")), StringComparison.Ordinal);

        static long Sent(JsonElement migration) => migration.GetProperty("rounds").EnumerateArray().Sum(round => round.GetProperty("bytes").GetInt64());
    }

    [Theory]
    [InlineData("lost-page", "RAM equal on both sides")]
    [InlineData("double-run", "never two runners")]
    [InlineData("clock-back", "clock")]
    [InlineData("console-gap", "no console byte lost or doubled")]
    public async Task PlantedFaultFailsTheCheckThatIsThereForIt(string fault, string check)
    {
        using TemporaryFolder folder = new();

        Finished drill = await GodwitProcess.RunAsync([.. s_small, "--inject", fault, "--report", folder["report"]]);

        Assert.True(drill.ExitCode == 1, drill.Output + drill.Errors);
        Assert.Contains("drill FAILED", drill.Output, StringComparison.Ordinal);
        JsonElement report = Report(folder);
        Assert.False(report.GetProperty("passed").GetBoolean());
        Assert.Equal(fault, report.GetProperty("injected").GetString());
        string[] failed = [.. report.GetProperty("checks").EnumerateArray().Where(c => !c.GetProperty("held").GetBoolean()).Select(c => c.GetProperty("name").GetString()!)];
        Assert.Contains(failed, name => name.Contains(check, StringComparison.Ordinal));
        Assert.All(failed, name => Assert.Contains($"FAIL  {name}: ", drill.Output, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("--guest windows", "--guest", "windows")]
    [InlineData("--inject gremlin", "--inject", "gremlin")]
    [InlineData("--moves 0", "--moves", "0")]
    [InlineData("--silos 1", "--silos", "1")]
    [InlineData("--memory lots", "--memory", "lots")]
    [InlineData("--working-set 0", "--working-set", "0")]
    [InlineData("--rate -5", "--rate", "-5")]
    [InlineData("\"--frobnicate\" is not understood", "--frobnicate")]
    public async Task WrongArgumentsAreOneLine(string says, params string[] arguments) =>
        RunCommandTests.AssertOneLine(2, says, await GodwitProcess.RunAsync(["drill", .. arguments]));

    private static JsonElement Report(TemporaryFolder folder) =>
        JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["report"], "report.json"))).RootElement;
}
