using Godwit.Client;
using Godwit.Cluster.Tests.Machines;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>Silos that are emptied by command or by SIGTERM; they are extra silos of the shared Cluster.</summary>
[Collection(LeavingSilosCollection.Name)]
public sealed class DrainTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    private static readonly VmDefinition _small = new() { MemoryBytes = 16 << 20 };

    private static string Cli => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Cli"));

    [Fact]
    public async Task ADrainMovesEveryVmWithNoConsoleByteLostAndKeepsNewOnesAwayUntilItIsTakenBack()
    {
        var victim = await VictimAsync();
        var name = NameOf(victim);
        var vms = await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => RunningAsync(name)));
        var reading = vms.Select(vm => VmCommandTests.ReadLinesAsync(vm, 300)).ToList();

        var end = await (await Cluster.Client.DrainSiloAsync(name)).EndAsync();

        Assert.Equal((DrainOutcome.Done, 0), (end.Outcome, end.Result!.Kept.Count));
        Assert.Equal(vms.Select(v => v.Name).Order(StringComparer.Ordinal), end.Result.Moved.Select(m => m.Name).Order(StringComparer.Ordinal));
        Assert.Equal(end.Result.Moved.Max(m => m.Blackout), end.Result.LongestBlackout);
        var drained = await HostAsync(name);
        Assert.Equal((HostDuty.Drained, 0, 0L), (drained.Duty, drained.Vms.Count, drained.MemoryReserved));
        foreach (var (vm, lines) in vms.Zip(reading))
        {
            Assert.Equal(Enumerable.Range(1, 300).Select(i => i.ToString()), await lines);
            VmCommandTests.AssertNoOverlap(await vm.RunsAsync());
        }

        var says = $"Silo {name} is drained and takes no VMs";
        var more = Cluster.Client.Vm(TwoSilos.NewName());
        await more.CreateAsync(_small);
        await BadInputTests.RefusedAsync(ClusterError.Unavailable, says, () => more.StartAsync(name));
        await BadInputTests.RefusedAsync(ClusterError.Unavailable, says, () => more.RestoreAsync(new MemoryStream([1]), name));
        await BadInputTests.RefusedAsync(ClusterError.Unavailable, says, () => vms[0].MigrateAsync(new MigrationRequest { Target = name }));
        await Cluster.Client.UndrainSiloAsync(name);
        await BadInputTests.RefusedAsync(ClusterError.WrongState, "it takes VMs", () => Cluster.Client.UndrainSiloAsync(name));
        Assert.Equal(name, (await more.StartAsync(name)).Silo);
        await GoneAsync([.. vms, more]);
        await LeavesAsync(victim);
    }

    [Fact]
    public async Task VmsThatCannotMoveAreNamedOneByOneAndRunOn()
    {
        // Neither of the others, with 1 GiB each, has room for the large one.
        var victim = await VictimAsync("2G");
        var name = NameOf(victim);
        var small = await RunningAsync(name);
        var paused = await RunningAsync(name);
        await paused.PauseAsync();
        var large = Cluster.Client.Vm(TwoSilos.NewName());
        await large.CreateAsync(_small with { MemoryBytes = 1536L << 20 });
        await large.StartAsync(name);

        var (exitCode, output, errors) = await TestProcess.RunAsync(Cli, "silo", "drain", name, "--cluster", Cluster.Folder);

        Assert.Equal(1, exitCode);
        Assert.Contains($"Silo {name} is not drained: 2 VMs could not be moved and stay on it.", errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
        var lines = output.Split('\n');
        Assert.Single(lines, l => l.StartsWith($"VM {paused.Name} stays: it is paused", StringComparison.Ordinal));
        Assert.Single(lines, l => l.StartsWith($"VM {large.Name} stays: No silo has room for VM \"{large.Name}\" (1.5 GiB, 1 vCPU): a lacks memory ", StringComparison.Ordinal));
        Assert.Single(lines, l => l.StartsWith($"VM {small.Name} runs on silo ", StringComparison.Ordinal));
        Assert.Equal((VmState.Running, name), await WhereAsync(large));
        Assert.Equal((VmState.Paused, name), await WhereAsync(paused));
        Assert.Equal(HostDuty.Draining, (await HostAsync(name)).Duty);

        // Once nothing is left it is drained, and the command agrees.
        await large.StopAsync();
        await paused.ResumeAsync();
        var again = await TestProcess.RunAsync(Cli, "silo", "drain", name, "--json", "--cluster", Cluster.Folder);
        Assert.True(again.ExitCode == 0, again.Errors);
        Assert.Contains("\"done\":true", again.Output.Trim().Split('\n')[^1], StringComparison.Ordinal);
        Assert.Contains("Drained", (await TestProcess.RunAsync(Cli, "silo", "list", "--cluster", Cluster.Folder)).Output, StringComparison.Ordinal);
        await large.DeleteAsync();
        await GoneAsync(small, paused);
        await LeavesAsync(victim);
    }

    [Fact]
    public async Task ADrainKeepsToItsLimitAndAnotherClientWatchesItFromAnyStep()
    {
        using var hold = new HoldPoint("copy");
        var victim = await VictimAsync();
        var name = NameOf(victim);
        var vms = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => RunningAsync(name, hold.CommandLine)));
        var first = await Cluster.Client.DrainSiloAsync(name, new DrainRequest { PerSilo = 1 });
        await hold.WaitAsync();
        Assert.Single((await HostAsync(name)).Leaving);
        await using var other = await GodwitClient.ConnectAsync(Cluster.Access);

        // The same command finds the same job, and the limit it began with.
        var second = await other.DrainSiloAsync(name, new DrainRequest { PerSilo = 3 });
        Assert.Equal(first.Ticket, second.Ticket);
        hold.Open();

        Assert.Equal(DrainOutcome.Done, (await second.EndAsync()).Outcome);
        var steps = await StepsAsync(first, 0);
        Assert.Equal(Enumerable.Range(1, steps.Count).Select(i => (long)i), steps.Select(s => s.Sequence));
        Assert.Equal(steps.Skip(2).Select(s => s.Sequence), (await StepsAsync(second, 2)).Select(s => s.Sequence));
        Assert.Equal(
            [DrainEvent.Started, .. vms.SelectMany(_ => new[] { DrainEvent.Moving, DrainEvent.Moved })],
            steps.Select(s => s.Event));
        await GoneAsync(vms);
        await LeavesAsync(victim);
    }

    [Fact]
    public async Task TheClustersLimitHoldsOverTwoDrainingSilos()
    {
        using var hold = new HoldPoint("copy");
        var victims = await Task.WhenAll(VictimAsync(), VictimAsync());
        var held = await RunningAsync(NameOf(victims[0]), hold.CommandLine);
        var waiting = await RunningAsync(NameOf(victims[1]));
        var request = new DrainRequest { PerCluster = 1 };
        var first = await Cluster.Client.DrainSiloAsync(NameOf(victims[0]), request);
        await hold.WaitAsync();

        var second = await Cluster.Client.DrainSiloAsync(NameOf(victims[1]), request);

        // It is asked for more than one look, and nothing but the start is told.
        Assert.Equal([DrainEvent.Started], (await StepsUntilSilenceAsync(second)).Select(s => s.Event));
        hold.Open();
        Assert.Equal(DrainOutcome.Done, (await first.EndAsync()).Outcome);
        Assert.Equal(DrainOutcome.Done, (await second.EndAsync()).Outcome);
        await GoneAsync(held, waiting);
        await Task.WhenAll(victims.Select(LeavesAsync));
    }

    [Fact]
    public async Task UndrainEndsADrainThatIsUnderWay()
    {
        using var hold = new HoldPoint("copy");
        var victim = await VictimAsync();
        var name = NameOf(victim);
        var vms = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => RunningAsync(name, hold.CommandLine)));
        var drain = await Cluster.Client.DrainSiloAsync(name, new DrainRequest { PerSilo = 1 });
        await hold.WaitAsync();

        await Cluster.Client.UndrainSiloAsync(name);

        Assert.Equal(DrainOutcome.Cancelled, (await drain.EndAsync()).Outcome);
        Assert.Equal(HostDuty.Serving, (await HostAsync(name)).Duty);
        hold.Open();
        await Eventually.HoldsAsync("the migration that had begun ends", async () => (await HostAsync(name)).Leaving.Count == 0);
        Assert.Single((await HostAsync(name)).Vms);
        await GoneAsync(vms);
        await LeavesAsync(victim);
    }

    [Fact]
    public async Task ASiloThatIsToldToStopDrainsFirst()
    {
        var victim = await VictimAsync();
        var vms = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => RunningAsync(NameOf(victim))));
        var reading = vms.Select(vm => VmCommandTests.ReadLinesAsync(vm, 300)).ToList();

        victim.Signal("-TERM");
        await victim.WaitForExitAsync();

        Assert.Equal(0, victim.ExitCode);
        foreach (var (vm, lines) in vms.Zip(reading))
        {
            Assert.Contains($"VM {vm.Name} runs on silo ", victim.Errors, StringComparison.Ordinal);
            Assert.Equal(VmState.Running, (await vm.ShowAsync()).State);
            Assert.Equal(Enumerable.Range(1, 300).Select(i => i.ToString()), await lines);
        }

        await GoneAsync(vms);
    }

    [Theory]
    [InlineData("60", "stops at once: 1 VM left.")]
    [InlineData("0.5", "stops after 0.5 s of draining: 1 VM left.")]
    public async Task ADrainBeforeTheEndIsCutShortByASecondSignalOrItsLimit(string limit, string says)
    {
        using var hold = new HoldPoint("copy");
        var victim = await VictimAsync(more: ["--drain-timeout", limit]);
        var vm = await RunningAsync(NameOf(victim), hold.CommandLine);
        victim.Signal("-TERM");
        if (limit == "60")
        {
            await hold.WaitAsync();
            victim.Signal("-TERM");
        }

        await victim.WaitForExitAsync();
        Assert.Equal(0, victim.ExitCode);
        Assert.Contains(says, victim.Errors, StringComparison.Ordinal);
        var info = await vm.ShowAsync();
        Assert.Equal((VmState.Stopped, $"silo {NameOf(victim)} was shut down"), (info.State, info.Reason));
        await vm.DeleteAsync();
    }

    [Fact]
    public async Task TheOnlySiloSaysThatItsGuestsCannotGoAndStopsThem()
    {
        var folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
        await using var store = await StoreServer.StartAsync(folder);
        await using var silo = await TestProcess.StartAsync("silo", "--cluster", folder, "--name", "only", "--memory", "1G", "--json");
        await using (var client = await GodwitClient.ConnectAsync(Godwit.Access.ClusterAccess.Open(folder)))
        {
            var vm = client.Vm("alone");
            await vm.CreateAsync(_small);
            await vm.StartAsync();
            var end = await (await client.DrainSiloAsync("only")).EndAsync();
            Assert.Equal("There is no other live silo to move to.", Assert.Single(end.Result!.Kept).Reason);
            await BadInputTests.RefusedAsync(ClusterError.NoRoom, "No silo takes VMs: only is draining.", () => client.Vm("another").CreateAsync(_small));
        }

        silo.Signal("-TERM");
        await silo.WaitForExitAsync();

        Assert.Equal(0, silo.ExitCode);
        Assert.Contains("silo only is the only one alive: its 1 VM cannot go elsewhere and is stopped.", silo.Errors, StringComparison.Ordinal);
        Directory.Delete(folder, recursive: true);
    }

    private static string NameOf(TestProcess silo) => silo.Ready.GetProperty("name").GetString()!;

    private static async Task GoneAsync(params Vm[] vms)
    {
        foreach (var vm in vms)
        {
            if ((await vm.ShowAsync()).State != VmState.Stopped)
            {
                await vm.StopAsync();
            }

            await vm.DeleteAsync();
        }
    }

    /// <summary>An empty silo ends in good order, and at once.</summary>
    private static async Task LeavesAsync(TestProcess silo)
    {
        silo.Signal("-TERM");
        await silo.WaitForExitAsync();
        Assert.Equal(0, silo.ExitCode);
        Assert.DoesNotContain("godwit: ", silo.Errors, StringComparison.Ordinal);
    }

    private static async Task<(VmState State, string? Silo)> WhereAsync(Vm vm)
    {
        var info = await vm.ShowAsync();
        return (info.State, info.Silo);
    }

    private static async Task<List<DrainStep>> StepsAsync(DrainHandle drain, long after)
    {
        var steps = new List<DrainStep>();
        await foreach (var step in drain.WatchAsync(after))
        {
            steps.Add(step);
        }

        return steps;
    }

    /// <summary>What comes within half a second, some looks of the drain's.</summary>
    private static async Task<List<DrainStep>> StepsUntilSilenceAsync(DrainHandle drain)
    {
        var steps = new List<DrainStep>();
        using var limit = new CancellationTokenSource(TimeSpan.FromMilliseconds(500));
        try
        {
            await foreach (var step in drain.WatchAsync(0, limit.Token))
            {
                steps.Add(step);
            }
        }
        catch (OperationCanceledException)
        {
            return steps;
        }

        throw new InvalidOperationException("the drain has ended");
    }

    private async Task<HostInfo> HostAsync(string silo) => (await Cluster.Client.SilosAsync()).Single(s => s.Name == silo).Host!;

    private async Task<Vm> RunningAsync(string silo, string commandLine = "")
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small with { CommandLine = commandLine });
        await vm.StartAsync(silo);
        return vm;
    }

    /// <summary>A silo of its own to drain, known to the others.</summary>
    private async Task<TestProcess> VictimAsync(string memory = "1G", params string[] more)
    {
        var victim = await Cluster.StartSiloAsync($"d{Guid.NewGuid():N}"[..8], memory, more);
        await Eventually.HoldsAsync("it is active", async () => (await Cluster.Client.SilosAsync()).Any(s => s.Name == NameOf(victim) && s.Host is not null));
        return victim;
    }
}
