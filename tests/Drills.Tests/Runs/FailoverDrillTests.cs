using System.Text.Json;
using Godwit.Drills.Tests.Processes;
using Xunit;

namespace Godwit.Drills.Tests.Runs;

/// <summary>`godwit drill chaos` and `godwit drill failover` as people run them, short.</summary>
public sealed class FailoverDrillTests
{
    [Fact]
    public async Task ChaosPassesAndLeavesAReportAndNothingElse()
    {
        using TemporaryFolder folder = new();
        string temporary = Directory.CreateDirectory(folder["tmp"]).FullName;

        Finished drill = await GodwitProcess.RunAsync(temporary, ["drill", "chaos", "--seed", "7", "--steps", "4", "--guests", "2", "--report", folder["report"]]);

        Assert.True(drill.ExitCode == 0, drill.Output + drill.Errors);
        Assert.Empty(GodwitProcess.WithArgument(temporary));
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary, "godwit*"));
        string[] checks = [.. Report(folder).GetProperty("checks").EnumerateArray().Select(check => check.GetProperty("name").GetString()!)];
        Assert.All(Enumerable.Range(1, 4), step => Assert.Contains($"step {step}", checks));

        // The seed's steps: silos are killed, and a guest moves while one is.
        Assert.Contains("step 1: guest-1 moves to B; after 549 ms C is killed", drill.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AGuestThatRunsTwiceIsFound()
    {
        using TemporaryFolder folder = new();

        Finished drill = await GodwitProcess.RunAsync(["drill", "chaos", "--seed", "5", "--steps", "1", "--guests", "1", "--inject", "double-run", "--report", folder["report"]]);

        Assert.True(drill.ExitCode == 1, drill.Output + drill.Errors);
        JsonElement failed = Assert.Single(Report(folder).GetProperty("checks").EnumerateArray(), check => !check.GetProperty("held").GetBoolean());
        // After the other copy had begun, or even after a tick of it, as the two came to run.
        string? detail = failed.GetProperty("detail").GetString();
        Assert.True(detail is not null && System.Text.RegularExpressions.Regex.IsMatch(detail, "tick [0-9]+ of epoch [0-9]+ on .+ came .*epoch"), detail);
    }

    [Theory]
    [InlineData("give --steps or --minutes", "chaos", "--steps", "3", "--minutes", "1")]
    [InlineData("--minutes 0", "chaos", "--minutes", "0")]
    [InlineData("--steps 0", "chaos", "--steps", "0")]
    [InlineData("--lease", "chaos", "--lease", "0.1")]
    [InlineData("--inject gremlin", "chaos", "--inject", "gremlin")]
    [InlineData("--guest windows", "failover", "--guest", "windows")]
    [InlineData("--checkpoint-every", "failover", "--checkpoint-every", "0")]
    [InlineData("--kills 0", "failover", "--kills", "0")]
    public async Task WrongArgumentsAreOneLine(string says, params string[] arguments) =>
        RunCommandTests.AssertOneLine(2, says, await GodwitProcess.RunAsync(["drill", .. arguments]));

    private static JsonElement Report(TemporaryFolder folder) =>
        JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["report"], "report.json"))).RootElement;
}
