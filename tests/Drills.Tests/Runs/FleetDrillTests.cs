using System.Text.Json;
using Godwit.Drills.Tests.Processes;
using Xunit;

namespace Godwit.Drills.Tests.Runs;

/// <summary>`godwit drill evacuate` and `rolling` in small: they pass, leave nothing, and fail on their planted faults.</summary>
public sealed class FleetDrillTests
{
    [Fact]
    public async Task EvacuationPassesMeasuresTheDrainAndLeavesNothing()
    {
        using TemporaryFolder folder = new();
        string temporary = Directory.CreateDirectory(folder["tmp"]).FullName;

        Finished drill = await GodwitProcess.RunAsync(temporary, ["drill", "evacuate", "--guests", "5", "--report", folder["report"]]);

        Assert.True(drill.ExitCode == 0, drill.Output + drill.Errors);
        Assert.Empty(GodwitProcess.WithArgument(temporary));
        Assert.Empty(Directory.EnumerateFileSystemEntries(temporary, "godwit*"));
        JsonElement report = Report(folder);
        Assert.Equal("evacuate", report.GetProperty("name").GetString());
        JsonElement figures = report.GetProperty("figures");
        Assert.Equal(5, figures.GetProperty("drain of silo A, guests moved").GetDouble());
        Assert.InRange(figures.GetProperty("drain of silo A, longest blackout, ms").GetDouble(), 0.1, 60_000);
        Assert.InRange(figures.GetProperty("drain of silo A, s").GetDouble(), 0.01, 60);
        Assert.Equal(5, report.GetProperty("runIntervals").EnumerateArray().Select(i => i.GetProperty("vm").GetString()).Distinct().Count());
    }

    [Fact]
    public async Task RollingReplacementOfThreeSilosLosesNothing()
    {
        using TemporaryFolder folder = new();

        Finished drill = await GodwitProcess.RunAsync(["drill", "rolling", "--guests", "4", "--report", folder["report"]]);

        Assert.True(drill.ExitCode == 0, drill.Output + drill.Errors);
        string[] checks = [.. Report(folder).GetProperty("checks").EnumerateArray().Select(check => check.GetProperty("name").GetString()!)];
        foreach (string silo in (string[])["A", "B", "C"])
            Assert.Contains($"silo {silo} is a new process", checks);
        Assert.Contains("a new silo is used at once", checks);
        Assert.Contains("4 guests: no console byte lost or doubled", checks);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1, "--inject", "busy-guests")]
    public async Task IdleGuestsCostLittleAndBusyOnesAreSeen(int exitCode, params string[] fault)
    {
        using TemporaryFolder folder = new();

        Finished drill = await GodwitProcess.RunAsync(["drill", "idle", "--guests", "5", "--seconds", "2", "--memory", "16M", "--report", folder["report"], .. fault]);

        Assert.True(drill.ExitCode == exitCode, drill.Output + drill.Errors);
        Assert.Contains($"{(exitCode == 0 ? "ok  " : "FAIL")}  an idle guest executes next to nothing: ", drill.Output, StringComparison.Ordinal);
        Assert.InRange(Report(folder).GetProperty("figures").GetProperty("RAM that a guest has touched, MiB").GetDouble(), 0.5, 16);
    }

    [Theory]
    [InlineData("evacuate", "stuck-guest", "silo A was drained")]
    [InlineData("rolling", "killed-silo", "3 guests: not lost")]
    public async Task PlantedFaultFailsTheCheckThatIsThereForIt(string which, string fault, string check)
    {
        using TemporaryFolder folder = new();

        Finished drill = await GodwitProcess.RunAsync(["drill", which, "--guests", which == "rolling" ? "3" : "2", "--inject", fault, "--report", folder["report"]]);

        Assert.True(drill.ExitCode == 1, drill.Output + drill.Errors);
        Assert.Contains("drill FAILED", drill.Output, StringComparison.Ordinal);
        Assert.Contains(
            Report(folder).GetProperty("checks").EnumerateArray(),
            c => c.GetProperty("name").GetString() == check && !c.GetProperty("held").GetBoolean());
    }

    [Theory]
    [InlineData("--inject lost-page: write one of stuck-guest, console-gap", "evacuate", "--inject", "lost-page")]
    [InlineData("--guests 0: write a number from 1 to 500", "rolling", "--guests", "0")]
    [InlineData("--per-silo 0: write a number from 1 to 64", "evacuate", "--per-silo", "0")]
    public async Task WrongArgumentsAreOneLine(string says, params string[] arguments) =>
        RunCommandTests.AssertOneLine(2, says, await GodwitProcess.RunAsync(["drill", .. arguments]));

    private static JsonElement Report(TemporaryFolder folder) =>
        JsonDocument.Parse(File.ReadAllText(Path.Combine(folder["report"], "report.json"))).RootElement;
}
