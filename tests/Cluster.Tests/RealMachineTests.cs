using System.Text;
using System.Text.RegularExpressions;
using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>Two processes of the real silo executable, and the engine's machine in them with the built-in guest.</summary>
public sealed partial class RealMachineTests(RealClusters clusters) : IClassFixture<RealClusters>
{
    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task TheBuiltInGuestMovesThereAndBackWithItsMemoryAndConsoleWhole(StoreKind store)
    {
        var client = await clusters.ClientAsync(store);
        var vm = client.Vm("guest");
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 32 << 20 });
        await vm.StartAsync("a");
        await TicksAsync(vm, 2);

        foreach (var target in new[] { "b", "a" })
        {
            var result = await (await vm.MigrateAsync(new MigrationRequest { Target = target, VerifyAllMemory = true })).ResultAsync();
            Assert.NotEqual("", result.SourceHash);
            Assert.Equal(result.SourceHash, result.TargetHash);
            var silos = await client.SilosAsync();
            Assert.DoesNotContain(silos.Single(s => s.Name != target).Host!.Vms, v => v.Name == vm.Name);
        }

        var before = (await vm.ShowAsync()).Figures!.ConsoleEnd;
        await Eventually.HoldsAsync("it prints on", async () => (await vm.ShowAsync()).Figures!.ConsoleEnd > before + 200);
        await vm.StopAsync();

        // The console outlives the guest: every tick is there once, and no word was wrong.
        var text = await WholeConsoleAsync(vm);
        var ticks = Tick().Matches(text).Select(m => int.Parse(m.Groups[1].Value)).ToList();
        Assert.Equal(Enumerable.Range(ticks[0], ticks.Count), ticks);
        Assert.All(Wrong().Matches(text), m => Assert.Equal("0", m.Groups[1].Value));
        VmCommandTests.AssertNoOverlap(await vm.RunsAsync());
        Assert.Equal([1L, 2L, 3L], (await vm.RunsAsync()).Intervals.Select(i => i.Epoch).Distinct());
        await vm.DeleteAsync();
    }

    [Fact]
    public async Task ADrainMovesSeveralGuestsWithTheirMemoryAndConsolesWhole()
    {
        var client = await clusters.ClientAsync();
        var vms = Enumerable.Range(0, 4).Select(i => client.Vm($"drained{i}")).ToList();
        foreach (var vm in vms)
        {
            await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
            await vm.StartAsync("a");
        }

        await Task.WhenAll(vms.Select(vm => TicksAsync(vm, 2)));
        var end = await (await client.DrainSiloAsync("a")).EndAsync();
        await client.UndrainSiloAsync("a");

        Assert.Equal((DrainOutcome.Done, 4), (end.Outcome, end.Result!.Moved.Count));
        foreach (var vm in vms)
        {
            Assert.Equal((VmState.Running, "b"), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Silo));
            var before = (await vm.ShowAsync()).Figures!.ConsoleEnd;
            await Eventually.HoldsAsync("it prints on", async () => (await vm.ShowAsync()).Figures!.ConsoleEnd > before + 200);
            await vm.StopAsync();
            var text = await WholeConsoleAsync(vm);
            var ticks = Tick().Matches(text).Select(m => int.Parse(m.Groups[1].Value)).ToList();
            Assert.Equal(Enumerable.Range(ticks[0], ticks.Count), ticks);
            Assert.All(Wrong().Matches(text), m => Assert.Equal("0", m.Groups[1].Value));
            VmCommandTests.AssertNoOverlap(await vm.RunsAsync());
            await vm.DeleteAsync();
        }
    }

    [Fact]
    public async Task AKernelThatIsNoneIsRefusedByTheMachineAndLeavesNothingReserved()
    {
        var client = await clusters.ClientAsync();
        var vm = client.Vm("nokernel");
        var hash = await client.UploadImageAsync(Encoding.ASCII.GetBytes("this is no kernel"));
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 32 << 20, Boot = VmBoot.Linux, Kernel = hash });

        await BadInputTests.RefusedAsync(ClusterError.Failed, "cannot be started", () => vm.StartAsync("a"));

        Assert.Equal(VmState.Stopped, (await vm.ShowAsync()).State);
        Assert.All(await client.SilosAsync(), s => Assert.Equal(0, s.Host!.MemoryReserved));
    }

    [Fact]
    public async Task ASnapshotIsRestoredOnlyWholeAndOnlyToAVmOfItsShape()
    {
        var client = await clusters.ClientAsync();
        var vm = client.Vm("kept");
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync("a");
        await TicksAsync(vm, 2);
        using var snapshot = new MemoryStream();
        await vm.SnapshotAsync(snapshot);
        await vm.StopAsync();
        var smaller = client.Vm("smaller");
        await smaller.CreateAsync(new VmDefinition { MemoryBytes = 8 << 20 });

        await BadInputTests.RefusedAsync(ClusterError.Failed, "another machine than the one expected", () => smaller.RestoreAsync(new MemoryStream(snapshot.ToArray())));
        await BadInputTests.RefusedAsync(ClusterError.Failed, "snapshot", () => vm.RestoreAsync(new MemoryStream(snapshot.ToArray()[..^100])));
        Assert.All(await client.SilosAsync(), s => Assert.Equal(0, s.Host!.MemoryReserved));

        await vm.RestoreAsync(new MemoryStream(snapshot.ToArray()), "b");
        var before = (await vm.ShowAsync()).Figures!.ConsoleEnd;
        await vm.ResumeAsync();
        await Eventually.HoldsAsync("it prints on", async () => (await vm.ShowAsync()).Figures!.ConsoleEnd > before + 200);
        await vm.StopAsync();
        Assert.All(Wrong().Matches(await WholeConsoleAsync(vm)), m => Assert.Equal("0", m.Groups[1].Value));
    }

    private static async Task TicksAsync(Vm vm, int count)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        var text = "";
        await foreach (var segment in vm.Console(cancellation: limit.Token))
        {
            text += Encoding.Latin1.GetString(segment.Bytes);
            if (Tick().Count(text) >= count)
            {
                return;
            }
        }
    }

    private static async Task<string> WholeConsoleAsync(Vm vm)
    {
        var text = new StringBuilder();
        long next = 0;
        await foreach (var segment in vm.Console())
        {
            Assert.Equal(next, segment.Offset);
            next += segment.Bytes.Length;
            text.Append(Encoding.Latin1.GetString(segment.Bytes));
        }

        return text.ToString();
    }

    [GeneratedRegex(@"tick=(\d+) ")]
    private static partial Regex Tick();

    [GeneratedRegex(@"wrong=(\d+) ")]
    private static partial Regex Wrong();
}
