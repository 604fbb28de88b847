using System.Text.Json;
using Godwit.Client;
using Godwit.Cluster.Tests.Machines;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Placement;

/// <summary>Rebalancing and status of a real cluster, by command and by the SDK.</summary>
[Collection(TwoSilosCollection.Name)]
public sealed class RebalanceTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    private static string Cli => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Cli"));

    [Fact]
    public async Task ARebalanceFirstShowsItsPlanAndThenMovesVmsWithNoConsoleByteLost()
    {
        var vms = await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => RunningAsync("a", 128 << 20)));
        var bound = await RunningAsync("a", 128 << 20, constraints: new PlacementConstraints { Silo = "a" });
        var reading = vms.Select(vm => VmCommandTests.ReadLinesAsync(vm, 300)).ToList();

        var dry = await TestProcess.RunAsync(Cli, "cluster", "rebalance", "--dry-run", "--json", "--cluster", Cluster.Folder);
        Assert.True(dry.ExitCode == 0, dry.Errors);
        var plan = JsonDocument.Parse(dry.Output).RootElement;
        var before = plan.GetProperty("spreadBefore").GetDouble();
        Assert.True(plan.GetProperty("spreadAfter").GetDouble() < before);
        Assert.All(vms, vm => Assert.Equal("a", vm.ShowAsync().Result.Silo));

        var done = await TestProcess.RunAsync(Cli, "cluster", "rebalance", "--per-silo", "1", "--cluster", Cluster.Folder);

        Assert.True(done.ExitCode == 0, done.Errors);
        Assert.Contains("moved in ", done.Output, StringComparison.Ordinal);
        var silos = (await Task.WhenAll(vms.Select(vm => vm.ShowAsync()))).Select(i => i.Silo).ToList();
        Assert.Contains("b", silos);
        Assert.Equal("a", (await bound.ShowAsync()).Silo);
        Assert.True((await Cluster.Client.StatusAsync()).Spread < before);
        foreach (var (vm, lines) in vms.Zip(reading))
        {
            Assert.Equal(Enumerable.Range(1, 300).Select(i => i.ToString()), await lines);
            VmCommandTests.AssertNoOverlap(await vm.RunsAsync());
        }

        await GoneAsync([.. vms, bound]);
    }

    [Fact]
    public async Task ARebalanceUnderWayIsFoundAgainShownInTheStatusAndCancelled()
    {
        using var hold = new HoldPoint("copy");
        var vms = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => RunningAsync("a", 128 << 20, hold.CommandLine)));
        var first = await Cluster.Client.RebalanceAsync(new RebalanceRequest { PerSilo = 1 });
        await hold.WaitAsync();

        Assert.Equal(first.Ticket.Job, (await Cluster.Client.RebalanceAsync()).Ticket.Job);
        var status = await TestProcess.RunAsync(Cli, "cluster", "status", "--cluster", Cluster.Folder);
        Assert.True(status.ExitCode == 0, status.Errors);
        Assert.Matches("VM [a-z0-9-]+ is moving from silo a to silo b\\.", status.Output);
        Assert.Contains($"Store {Cluster.Store}: answers every silo, within ", status.Output, StringComparison.Ordinal);
        Assert.Contains(ProtocolRange.OfThisBuild.ToString(), status.Output, StringComparison.Ordinal);
        var cancel = await TestProcess.RunAsync(Cli, "cluster", "rebalance", "--cancel", "--cluster", Cluster.Folder);
        Assert.True(cancel.ExitCode == 0, cancel.Errors);
        hold.Open();

        var end = await first.EndAsync();
        Assert.Equal((RebalanceOutcome.Cancelled, 1), (end.Outcome, end.Result!.Moved.Count));
        await BadInputTests.RefusedAsync(ClusterError.WrongState, "No rebalance is under way.", () => Cluster.Client.CancelRebalanceAsync());
        await GoneAsync(vms);
    }

    [Theory]
    [InlineData("--per-silo")]
    [InlineData("--per-cluster")]
    public async Task LimitsOutOfRangeAreRefusedInOneLine(string option)
    {
        var (exitCode, _, errors) = await TestProcess.RunAsync(Cli, "cluster", "rebalance", option, "0", "--cluster", Cluster.Folder);
        Assert.Equal(2, exitCode);
        Assert.StartsWith($"godwit: {option} takes 1 to 64", Assert.Single(errors.Trim().Split('\n')), StringComparison.Ordinal);
    }

    private static async Task GoneAsync(params Vm[] vms)
    {
        foreach (var vm in vms)
        {
            await vm.StopAsync();
            await vm.DeleteAsync();
        }
    }

    private async Task<Vm> RunningAsync(string silo, long memory, string commandLine = "", PlacementConstraints? constraints = null)
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = memory, CommandLine = commandLine, Constraints = constraints });
        await vm.StartAsync(silo);
        return vm;
    }
}
