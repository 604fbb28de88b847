using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Network;

/// <summary>README's three silos on three machines with Redis and TLS: all that crosses a link, and links that are cut and slow.</summary>
public sealed partial class SeveralMachinesTests(ThreeMachines cluster) : IClassFixture<ThreeMachines>
{
    /// <summary>Lease, margin, a look of the watcher's, the time to choose and to boot; generous on a busy machine.</summary>
    private const double FailoverSeconds = 15;

    [OnSeveralMachinesFact]
    public async Task AVmRunsMovesAndIsDrainedAcrossMachinesWithItsMemoryAndConsoleWhole()
    {
        await cluster.ReadyAsync();
        await CreateAsync("web", "working-set=4M rate=500");
        await cluster.AskAsync("vm", "start", "web", "--on", "s1");
        await TickAsync("web", 5);

        var moved = (await cluster.AskAsync("vm", "migrate", "web", "--to", "s2", "--verify", "full"))[^1].GetProperty("result");
        Assert.NotEqual("", moved.GetProperty("sourceHash").GetString());
        Assert.Equal(moved.GetProperty("sourceHash").GetString(), moved.GetProperty("targetHash").GetString());

        await cluster.AskAsync("silo", "drain", "s2");
        Assert.NotEqual("s2", (await cluster.LookAsync("web")).Vm!.Silo);
        await cluster.AskAsync("silo", "undrain", "s2");
        Assert.Equal((0, ""), await HealthAsync("s3"));

        await TickAsync("web", 5);
        await EndWholeAsync("web");
        Assert.Equal([1L, 2L, 3L], (await EverywhereAsync("web")).Select(r => r.Epoch));
        await cluster.AskAsync("vm", "delete", "web");
    }

    [OnSeveralMachinesFact]
    public async Task OverASlowLinkAGuestMovesWhileItRunsOnAndNoLeaseEnds()
    {
        await cluster.ReadyAsync();
        await CreateAsync("slow", "working-set=8M rate=100 cooperate=off free=none");
        await cluster.AskAsync("vm", "start", "slow", "--on", "s1");
        await TickAsync("slow", 5);
        await cluster.Lab.SlowAsync("s1", "20mbit");
        var steps = await cluster.AskAsync("vm", "migrate", "slow", "--to", "s2");
        await cluster.Lab.QuickAsync("s1");

        // 20 Mbit/s are 2.4 MiB a second: its 8 MiB of random words cannot have come faster.
        var result = steps[^1].GetProperty("result");
        Assert.True(result.GetProperty("total").GetDouble() > 3, $"it was no slow link: {result}");
        Assert.True(result.GetProperty("blackout").GetDouble() < 1, $"it stood still for long: {result}");

        // Somebody who watched saw it go on, at least once a second.
        var seen = steps.Take(steps.Count - 1).Select(s => (At: s.GetProperty("elapsed").GetDouble(), Sent: s.GetProperty("bytesSent").GetInt64())).ToList();
        Assert.Equal(seen.Select(s => s.Sent).Order(), seen.Select(s => s.Sent));
        Assert.All(seen.Zip(seen.Skip(1)), pair => Assert.True(pair.Second.At - pair.First.At < 2, $"nothing new between {pair.First} and {pair.Second}"));

        await TickAsync("slow", 5);
        var gap = await EndWholeAsync("slow");
        Assert.True(gap < TimeSpan.FromSeconds(1.5), $"the guest stood still for {gap.TotalSeconds:0.0} s");
        Assert.Equal([("s1", 1L), ("s2", 2L)], (await EverywhereAsync("slow")).Select(r => (r.SiloName, r.Epoch)));
        Assert.All(cluster.Silos, s => Assert.DoesNotContain("stands still", s.Errors, StringComparison.Ordinal));
        Assert.Equal(3, (await cluster.LookAsync("")).Active.Count);
        await cluster.AskAsync("vm", "delete", "slow");
    }

    [OnSeveralMachinesFact]
    public async Task ACutOffSiloStopsItsGuestWhichRunsElsewhereAndNothingOfTheOldCopyIsSeenAgain()
    {
        await cluster.ReadyAsync();
        await CreateAsync("cut", "working-set=4M", "--restart", "restart");
        await cluster.AskAsync("vm", "start", "cut", "--on", "s1");
        await TickAsync("cut", 5);

        var silent = System.Diagnostics.Stopwatch.GetTimestamp();
        await cluster.Lab.CutAsync("s1");
        await Eventually.HoldsAsync("the cut-off silo says that its guest stands still", () => Task.FromResult(cluster.Silo("s1").Errors.Contains("VM cut stands still: its lease (epoch 1) has ended", StringComparison.Ordinal)));
        var old = await cluster.RunsAsync("s1", "s1", "cut", "s1");
        await Eventually.HoldsAsync("it runs elsewhere", async () => (await cluster.LookAsync("cut")).Vm is { State: VmState.Running, Epoch: 2 });
        var fresh = await cluster.RunsAsync("desk", "s2", "cut", "s2", "s3");

        Assert.Equal(("s1", 1L, "lease expired"), (old[^1].SiloName, old[^1].Epoch, old[^1].Reason));
        Assert.True(fresh[0].Started > old[^1].Stopped, "two silos ran the VM at once");
        var took = TimeSpan.FromSeconds((fresh[0].Started - silent) / (double)System.Diagnostics.Stopwatch.Frequency);
        Assert.True(took.TotalSeconds < FailoverSeconds, $"it took {took.TotalSeconds:0.0} s");

        await cluster.Lab.MendAsync("s1");
        await Eventually.HoldsAsync("the silo that was held to be dead ends", () => Task.FromResult(cluster.Silo("s1").HasExited), () => cluster.Silo("s1").Errors);
        Assert.Contains("silo s1 ends: the others hold it to be dead", cluster.Silo("s1").Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("s1", (await cluster.LookAsync("cut")).Holders);
        await TickAsync("cut", 5);
        var runs = await cluster.RunsAsync("desk", "s2", "cut", "s2", "s3");
        Assert.Equal(2, Assert.Single(runs).Epoch);
        await EndWholeAsync("cut");
        await cluster.AskAsync("vm", "delete", "cut");
    }

    [OnSeveralMachinesFact]
    public async Task ALinkThatIsCutUnderAMigrationLeavesTheVmRunningWhereItWas()
    {
        await cluster.ReadyAsync();
        await CreateAsync("torn", "working-set=8M cooperate=off free=none");
        await cluster.AskAsync("vm", "start", "torn", "--on", "s1");
        await TickAsync("torn", 5);
        await cluster.Lab.SlowAsync("s1", "5mbit");
        await cluster.AskAsync("vm", "migrate", "torn", "--to", "s3", "--detach");
        await Eventually.HoldsAsync("it is copied", async () => (await cluster.LookAsync("torn")).Vm?.State == VmState.Migrating);
        await cluster.Lab.CutAsync("s3");
        await cluster.Lab.QuickAsync("s1");

        var (exitCode, _, errors) = await cluster.TryAsync("vm", "migrate", "torn", "--attach");

        Assert.True(exitCode == 1, $"{exitCode}: {errors}");
        Assert.Contains("runs on, on silo s1", errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
        await cluster.Lab.MendAsync("s3");
        await TickAsync("torn", 5);
        await EndWholeAsync("torn");
        Assert.Equal("s1", Assert.Single(await cluster.RunsAsync("desk", "s1", "torn", "s1")).SiloName);
        await cluster.AskAsync("vm", "delete", "torn");
    }

    [OnSeveralMachinesFact]
    public async Task NothingListensBeyondLoopbackThatAnswersAStranger()
    {
        await cluster.ReadyAsync();
        Assert.Equal(0, (await cluster.OnAsync("desk", "./godwit", "cluster", "init", "--cluster", "elsewhere")).ExitCode);
        Assert.Equal(0, (await cluster.OnAsync("desk", "./godwit", "cluster", "issue", "silo", "mallory", "--cluster", "elsewhere")).ExitCode);
        foreach (var (machine, address, ports) in ((string, string, int[])[])[("s1", "10.0.0.1", [7401, 7402, 7403]), ("s2", "10.0.0.2", [7401, 7402, 7403]), ("store", "10.0.0.9", [6379])])
        {
            // What is beyond loopback is exactly this.
            string[] expected = [.. ports.Select(p => $"{address}:{p}")];
            Assert.Equal(expected, (await ListeningAsync(machine)).Where(a => !a.StartsWith("127.", StringComparison.Ordinal)).Order());

            var (exitCode, output, errors) = await cluster.OnAsync("desk", [TestProcess.Executable, InsideCommands.Knock, cluster.Folder, "mallory", .. expected]);
            Assert.True(exitCode == 0, errors);
            Assert.All(JsonSerializer.Deserialize<Dictionary<string, string[]>>(output)!, port => Assert.True(port.Value.All(Reveals), $"{port.Key} answers strangers: {string.Join(" | ", port.Value)}"));
        }

        // Only why it says no, and only to who speaks TLS with some certificate.
        static bool Reveals(string said) => said.Length == 0 || said.Contains("not from this cluster's authority", StringComparison.Ordinal);
    }

    private async Task CreateAsync(string vm, string commandLine, params string[] more) =>
        await cluster.AskAsync(["vm", "create", vm, "--memory", "32M", "--append", commandLine, .. more]);

    /// <summary>Waits until its guest has ticked so often again.</summary>
    private async Task TickAsync(string vm, int ticks)
    {
        long? from = null;
        await Eventually.HoldsAsync($"VM {vm} ticks", async () =>
        {
            if ((await cluster.LookAsync(vm)).Vm?.Figures is not { } figures)
            {
                return false;
            }

            from ??= figures.ConsoleEnd;
            return figures.ConsoleEnd >= from + ticks * 100;
        });
    }

    private async Task<(int ExitCode, string Errors)> HealthAsync(string silo)
    {
        var (exitCode, _, errors) = await cluster.OnAsync(silo, "./godwit", "silo", "health", "--cluster", silo, "--address", ThreeMachines.AddressOf(silo));
        return (exitCode, errors.Trim());
    }

    /// <summary>Stops it; every tick since its boot was printed once, and no word of its memory was ever wrong. Returns the guest's longest gap.</summary>
    private async Task<TimeSpan> EndWholeAsync(string vm)
    {
        await cluster.AskAsync("vm", "stop", vm);
        var (exitCode, text, errors) = await cluster.OnAsync("desk", "./godwit", "vm", "console", vm, "--no-follow", "--cluster", "me");
        Assert.True(exitCode == 0, errors);
        var ticks = Tick().Matches(text).Select(m => m.Groups).ToList();
        Assert.Equal(Enumerable.Range(1, ticks.Count), ticks.Select(t => int.Parse(t[1].Value, CultureInfo.InvariantCulture)));
        Assert.All(ticks, t => Assert.Equal(("0", "0"), (t[2].Value, t[4].Value)));
        return TimeSpan.FromMicroseconds(long.Parse(ticks[^1][3].Value, CultureInfo.InvariantCulture) / 1000.0);
    }

    /// <summary>Its runs on all three silos; no two overlap.</summary>
    private async Task<IReadOnlyList<RunInterval>> EverywhereAsync(string vm)
    {
        var runs = await cluster.RunsAsync("desk", "s1", vm, "s1", "s2", "s3");
        Assert.All(runs.Zip(runs.Skip(1)), pair => Assert.True(pair.Second.Started >= pair.First.Stopped, "two silos ran the VM at once"));
        return runs;
    }

    /// <summary>ADDRESS:PORT of all sockets that listen on a machine.</summary>
    private async Task<IEnumerable<string>> ListeningAsync(string machine)
    {
        var (exitCode, output, errors) = await cluster.OnAsync(machine, "ss", "--no-header", "--listening", "--tcp", "--udp", "--numeric");
        Assert.True(exitCode == 0, errors);
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[4]);
    }

    [GeneratedRegex(@"tick=(\d+) .*wrong=(\d+) max_gap_ns=(\d+) clock_back=(\d+) ")]
    private static partial Regex Tick();
}
