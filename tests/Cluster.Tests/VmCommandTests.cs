using System.Text;
using Godwit.Client;
using Godwit.Cluster.Tests.Machines;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

[Collection(TwoSilosCollection.Name)]
public sealed class VmCommandTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    private static readonly VmDefinition _small = new() { MemoryBytes = 16 << 20 };

    [Fact]
    public async Task ACreatedVmStartsOnTheSiloThatIsNamed()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small);
        Assert.Equal(VmState.Stopped, (await vm.ShowAsync()).State);

        var info = await vm.StartAsync("b");

        Assert.Equal((VmState.Running, "b", 1L), (info.State, info.Silo, info.Epoch));
        Assert.Contains(await Cluster.Client.VmsAsync(), v => v.Name == vm.Name && v.State == VmState.Running && v.Silo == "b");
        await vm.StopAsync();
        Assert.Equal((VmState.Stopped, "stopped by command"), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Reason));
        await vm.DeleteAsync();
        var gone = await Assert.ThrowsAsync<GodwitException>(() => vm.ShowAsync());
        Assert.Equal(ClusterError.NotFound, gone.Error);
    }

    [Fact]
    public async Task AMovedVmCountsOnWithNoConsoleByteLostOrDoubled()
    {
        var vm = await RunningAsync("a");
        var reading = ReadLinesAsync(vm, 400);

        foreach (var target in new[] { "b", "a", "b" })
        {
            var stages = new List<string>();
            await foreach (var step in vm.Migrate(new MigrationRequest { Target = target }))
            {
                stages.Add(step.Stage);
            }

            Assert.Contains("Done", stages);
            Assert.Equal(target, (await vm.ShowAsync()).Silo);
        }

        Assert.Equal(Enumerable.Range(1, 400).Select(i => i.ToString()), await reading);
        var runs = await vm.RunsAsync();
        Assert.Equal([1L, 2L, 3L, 4L], runs.Intervals.Select(i => i.Epoch).Distinct());
        AssertNoOverlap(runs);
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AMigrationReleasesTheSourcesMemory()
    {
        var vm = await RunningAsync("a");

        await (await vm.MigrateAsync(new MigrationRequest { Target = "b" })).ResultAsync();

        var silos = await Cluster.Client.SilosAsync();
        Assert.DoesNotContain(silos.Single(s => s.Name == "a").Host!.Vms, v => v.Name == vm.Name);
        Assert.Contains(silos.Single(s => s.Name == "b").Host!.Vms, v => v.Name == vm.Name && v.ResidentBytes > 0);
        await GoneAsync(vm);
        Assert.All(await Cluster.Client.SilosAsync(), s => Assert.Equal(0, s.Host!.MemoryReserved));
    }

    [Fact]
    public async Task WhatIsTypedWhileTheVmMovesArrivesOnce()
    {
        using var barrier = new HoldPoint("moving");
        var vm = await RunningAsync("a", barrier.CommandLine);
        var migration = await vm.MigrateAsync(new MigrationRequest { Target = "b" });
        await barrier.WaitAsync();
        var typing = vm.WriteConsoleAsync("hello"u8.ToArray());

        barrier.Open();

        await typing;
        await migration.ResultAsync();
        var text = await ReadAllAsync(vm);
        Assert.Equal(2, text.Split("<hello>").Length);
        await GoneAsync(vm);
    }

    [Fact]
    public async Task APausedVmStandsStillUntilItIsResumed()
    {
        var vm = await RunningAsync("a");
        await vm.PauseAsync();
        Assert.Equal(VmState.Paused, (await vm.ShowAsync()).State);
        var before = await ReadAllAsync(vm);
        Assert.Equal(before, await ReadAllAsync(vm));
        await BadInputTests.RefusedAsync(ClusterError.WrongState, "is paused", () => vm.MigrateAsync(new MigrationRequest { Target = "b" }));

        await vm.ResumeAsync();

        await Eventually.HoldsAsync("it counts on", async () => (await ReadAllAsync(vm)).Length > before.Length);
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AGuestThatPowersOffLeavesItsReasonAndItsConsole()
    {
        var vm = await RunningAsync("b");
        await vm.WriteConsoleAsync("poweroff"u8.ToArray());
        await Eventually.HoldsAsync("it is stopped", async () => (await vm.ShowAsync()).State == VmState.Stopped);

        var info = await vm.ShowAsync();

        Assert.Equal(("the guest powered off", 0), (info.Reason, info.ExitCode));
        var text = new StringBuilder();
        await foreach (var segment in vm.Console())
        {
            text.Append(Encoding.Latin1.GetString(segment.Bytes));
        }

        Assert.EndsWith("<poweroff>\n", text.ToString());
        await vm.DeleteAsync();
    }

    [Fact]
    public async Task ARestartedVmIsANewBootWhoseConsoleBeginsAtZero()
    {
        var vm = await RunningAsync("a");
        await ReadLinesAsync(vm, 3);
        await vm.StopAsync();
        var info = await vm.StartAsync("b");

        Assert.Equal((2L, 2L), (info.Epoch, info.BootEpoch));
        Assert.Equal(["1", "2", "3"], await ReadLinesAsync(vm, 3));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task ASnapshotBringsTheVmBackWhereItWas()
    {
        var vm = await RunningAsync("a");
        await ReadLinesAsync(vm, 50);
        using var snapshot = new MemoryStream();
        await vm.SnapshotAsync(snapshot);
        await vm.StopAsync();
        snapshot.Position = 0;

        await vm.RestoreAsync(snapshot, "b");

        Assert.Equal((VmState.Paused, "b"), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Silo));
        await vm.ResumeAsync();
        Assert.Equal(Enumerable.Range(1, 200).Select(i => i.ToString()), await ReadLinesAsync(vm, 200));
        await GoneAsync(vm);
    }

    [Fact]
    public async Task ACancelledMigrationLeavesTheVmRunningAtTheSource()
    {
        using var barrier = new HoldPoint("copy");
        var vm = await RunningAsync("a", barrier.CommandLine);
        var migration = await vm.MigrateAsync(new MigrationRequest { Target = "b" });
        await barrier.WaitAsync();

        await migration.CancelAsync();

        var cancelled = await Assert.ThrowsAsync<GodwitException>(() => migration.ResultAsync());
        Assert.Contains("Cancelled", cancelled.Message);
        Assert.Equal((VmState.Running, "a", 1L), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Silo, (await vm.ShowAsync()).Epoch));
        await Eventually.HoldsAsync("b has nothing reserved", async () => (await Cluster.Client.SilosAsync()).Single(s => s.Name == "b").Host!.MemoryReserved == 0);
        await GoneAsync(vm);
    }

    [Fact]
    public async Task AClientThatGoesAwayChangesNothingAndAnotherAttaches()
    {
        using var barrier = new HoldPoint("copy");
        var vm = await RunningAsync("a", barrier.CommandLine);
        await using (var passing = await GodwitClient.ConnectAsync(Cluster.Access))
        {
            await passing.Vm(vm.Name).MigrateAsync(new MigrationRequest { Target = "b" });
            await barrier.WaitAsync();
        }

        var attached = await vm.AttachMigrationAsync();
        barrier.Open();

        await attached!.ResultAsync();
        var sequences = new List<long>();
        await foreach (var step in attached.WatchAsync())
        {
            sequences.Add(step.Sequence);
        }

        Assert.Equal(Enumerable.Range(1, sequences.Count).Select(i => (long)i), sequences);
        var rest = new List<long>();
        await foreach (var step in attached.WatchAsync(afterSequence: 2))
        {
            rest.Add(step.Sequence);
        }

        Assert.Equal(sequences.Skip(2), rest);
        Assert.Equal("b", (await vm.ShowAsync()).Silo);

        // Also when it is done, by the VM's name alone.
        Assert.Equal(attached.Ticket, (await vm.AttachMigrationAsync())!.Ticket);
        await GoneAsync(vm);
    }

    internal static void AssertNoOverlap(RunHistory runs)
    {
        for (var i = 1; i < runs.Intervals.Count; i++)
        {
            Assert.True(runs.Intervals[i].Started >= runs.Intervals[i - 1].Stopped, "two silos ran the VM at once");
        }
    }

    internal static async Task<List<string>> ReadLinesAsync(Vm vm, int count)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        var text = new StringBuilder();
        var lines = 0;
        await foreach (var segment in vm.Console(cancellation: limit.Token))
        {
            text.Append(Encoding.Latin1.GetString(segment.Bytes));
            lines += segment.Bytes.Count(b => b == '\n');
            if (lines >= count)
            {
                break;
            }
        }

        return [.. text.ToString().Split('\n').Take(count)];
    }

    private static async Task<string> ReadAllAsync(Vm vm)
    {
        var text = new StringBuilder();
        await foreach (var segment in vm.Console(follow: false))
        {
            text.Append(Encoding.Latin1.GetString(segment.Bytes));
        }

        return text.ToString();
    }

    private static async Task GoneAsync(Vm vm)
    {
        await vm.StopAsync();
        await vm.DeleteAsync();
    }

    private async Task<Vm> RunningAsync(string silo, string commandLine = "")
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small with { CommandLine = commandLine });
        await vm.StartAsync(silo);
        return vm;
    }
}
