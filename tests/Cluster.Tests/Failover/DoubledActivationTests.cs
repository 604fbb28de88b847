using Godwit.Access;
using Godwit.Access.Roles;
using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Failover;

/// <summary>
/// A VM's grain keeps nothing: each command is what it reads in the record and one call to a host. Two activations of it,
/// which a directory may come to have for a while, are therefore two such calls at once; these make them.
/// </summary>
[Collection(TwoSilosCollection.Name)]
public sealed class DoubledActivationTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    [Fact]
    public async Task TwoStartsOnTwoSilosAtOnceBootTheGuestOnce()
    {
        await using var silo = await AsSiloAsync();
        for (var i = 0; i < 3; i++)
        {
            var vm = await NewVmAsync();

            var refusals = await BothAsync(silo, h => h.StartVm(vm.Name));

            Assert.Single(refusals, r => r is null);
            Assert.Equal((VmState.Running, 1L), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Epoch));
            await RunsOnceAsync(vm, 1);
        }
    }

    [Fact]
    public async Task CommandsToASiloThatAnActivationBelievesToHaveTheVmDoNothingToIt()
    {
        await using var silo = await AsSiloAsync();
        var vm = await NewVmAsync();
        await vm.StartAsync("a");
        var elsewhere = Cluster.AddressOf("b");

        // What an activation that woke up with an old record would ask of the wrong silo.
        foreach (var command in (Func<IHostGrain, Task>[])[h => h.StopVm(vm.Name), h => h.PauseVm(vm.Name), h => h.StartVm(vm.Name), h => h.StartMigration(vm.Name, Cluster.AddressOf("a"), new MigrationRequest()), h => h.ForgetVm(vm.Name)])
        {
            await Record.ExceptionAsync(() => silo.Calls.OnceAsync(g => command(g.GetGrain<IHostGrain>(elsewhere)), default));
            var before = (await vm.ShowAsync()).Figures!.RetiredInstructions;
            await Eventually.HoldsAsync("it counts on", async () => (await vm.ShowAsync()).Figures?.RetiredInstructions > before);
        }

        Assert.Equal("a", (await vm.ShowAsync()).Silo);
        await RunsOnceAsync(vm, 1);
    }

    [Fact]
    public async Task TwoMigrationsAtOnceMoveTheGuestOnce()
    {
        await using var silo = await AsSiloAsync();
        var vm = await NewVmAsync();
        await vm.StartAsync("a");
        var (from, to) = (Cluster.AddressOf("a"), Cluster.AddressOf("b"));

        var asked = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => RefusalAsync(() => silo.Calls.OnceAsync(g => g.GetGrain<IHostGrain>(from).StartMigration(vm.Name, to, new MigrationRequest()), default))));

        Assert.Single(asked, r => r is null);
        Assert.Contains(asked, r => r?.Error == ClusterError.WrongState);
        await (await vm.AttachMigrationAsync())!.ResultAsync();
        Assert.Equal("b", (await vm.ShowAsync()).Silo);
        await RunsOnceAsync(vm, 1, 2);
    }

    [Fact]
    public async Task AStopAndAStartOfTwoActivationsLeaveOneGuestOrNone()
    {
        await using var silo = await AsSiloAsync();
        var vm = await NewVmAsync();
        await vm.StartAsync("a");

        await Task.WhenAll(
            RefusalAsync(() => silo.Calls.OnceAsync(g => g.GetGrain<IHostGrain>(Cluster.AddressOf("a")).StopVm(vm.Name), default)),
            RefusalAsync(() => silo.Calls.OnceAsync(g => g.GetGrain<IHostGrain>(Cluster.AddressOf("b")).StartVm(vm.Name), default)));

        var info = await vm.ShowAsync();
        Assert.True(info is { State: VmState.Stopped } or { State: VmState.Running, Silo: "b", Epoch: 2 }, info.ToString());
        VmCommandTests.AssertNoOverlap(await vm.RunsAsync());
    }

    /// <summary>Host grains are for silos: a client that shows what silos show.</summary>
    private Task<GodwitClient> AsSiloAsync() =>
        GodwitClient.ConnectAsync(Cluster.Access with { Credential = CallCredential.SiloPrefix + ClusterSecret.TryRead(Cluster.Folder)!.SiloCredential });

    private async Task<Vm> NewVmAsync()
    {
        var vm = Cluster.Client.Vm(TwoSilos.NewName());
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        return vm;
    }

    private Task<GodwitException?[]> BothAsync(GodwitClient silo, Func<IHostGrain, Task> command) =>
        Task.WhenAll(new[] { "a", "b" }.Select(s => RefusalAsync(() => silo.Calls.OnceAsync(g => command(g.GetGrain<IHostGrain>(Cluster.AddressOf(s))), default))));

    private static async Task<GodwitException?> RefusalAsync(Func<Task> command)
    {
        try
        {
            await command();
            return null;
        }
        catch (GodwitException e)
        {
            return e;
        }
    }

    /// <summary>Its runs had these epochs, one after the other, and it counts without a gap.</summary>
    private static async Task RunsOnceAsync(Vm vm, params long[] epochs)
    {
        Assert.Equal(Enumerable.Range(1, 50).Select(i => i.ToString()), await VmCommandTests.ReadLinesAsync(vm, 50));
        var runs = await vm.RunsAsync();
        VmCommandTests.AssertNoOverlap(runs);
        Assert.Equal(epochs, runs.Intervals.Select(i => i.Epoch));
    }
}
