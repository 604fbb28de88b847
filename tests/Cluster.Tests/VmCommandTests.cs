using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

[Collection(TwoSilosCollection.Name)]
public sealed class VmCommandTests(TwoSilos cluster)
{
    private static readonly VmDefinition _small = new() { MemoryBytes = 16 << 20 };

    [Fact]
    public async Task ACreatedVmStartsOnTheSiloThatIsNamed()
    {
        var vm = cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small);
        Assert.Equal(VmState.Stopped, (await vm.ShowAsync()).State);

        var info = await vm.StartAsync("b");

        Assert.Equal((VmState.Running, "b", 1L), (info.State, info.Silo, info.Epoch));
        await vm.StopAsync();
        Assert.Equal((VmState.Stopped, "stopped by command"), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Reason));
        await vm.DeleteAsync();
        var gone = await Assert.ThrowsAsync<GodwitException>(() => vm.ShowAsync());
        Assert.Equal(ClusterError.NotFound, gone.Error);
    }

    [Fact]
    public async Task AMovedVmCountsOnWithNoConsoleByteLostOrDoubled()
    {
        var vm = cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(_small);
        await vm.StartAsync("a");
        using var stop = new CancellationTokenSource();
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
        for (var i = 1; i < runs.Intervals.Count; i++)
        {
            Assert.True(runs.Intervals[i].Started >= runs.Intervals[i - 1].Stopped, "two silos ran the VM at once");
        }

        await vm.StopAsync();
        await vm.DeleteAsync();
    }

    private static async Task<List<string>> ReadLinesAsync(Vm vm, int count)
    {
        var text = "";
        await foreach (var segment in vm.Console())
        {
            text += System.Text.Encoding.Latin1.GetString(segment.Bytes);
            if (text.Count(c => c == '\n') >= count)
            {
                break;
            }
        }

        return [.. text.Split('\n').Take(count)];
    }
}
