using Godwit.Access;
using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>A store of each kind that is absent for longer than the leases, and one that has lost all its data.</summary>
public sealed class StoreTroubleTests : IAsyncLifetime
{
    private const string Silence = "The store does not answer the silos: guests run on until their leases end";

    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");

    public Task InitializeAsync() => Task.CompletedTask;

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task WhileTheStoreIsAbsentGuestsStopAtTheirLeasesEndAndNothingRunsTwice(StoreKind kind)
    {
        await using var store = await StoreServer.StartAsync(kind, _folder);
        var starting = SiloAsync("b", store);
        await using var a = await SiloAsync("a", store);
        await using var b = await starting;
        await using var client = await ConnectedAsync(store, silos: 2);
        var vm = client.Vm("held");
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync("a");
        await VmCommandTests.ReadLinesAsync(vm, 50);

        await store.KillAsync();

        // It runs on while its lease lasts, and stands still then: the silo itself says when.
        await Eventually.HoldsAsync("the guest stands still", async () => (await vm.RunsAsync()).Intervals is [.., { Stopped: not null }]);
        var stopped = (await vm.RunsAsync()).Intervals[^1];
        Assert.Equal("the lease ran out", stopped.Reason);

        // Nobody starts it elsewhere meanwhile, and whoever asks is told what is wrong.
        var status = client.StatusAsync();
        await Task.WhenAll(((Func<Task>[])[() => vm.StartAsync("b"), () => vm.ShowAsync(), () => client.VmsAsync()])
            .Select(call => BadInputTests.RefusedAsync(ClusterError.Unavailable, Silence, call)));
        Assert.Equal(2, (await status).Store.Count(s => s.Problem is not null));

        await store.StartAgainAsync();

        // It goes on where it stood, under the same epoch, on the same silo.
        await VmCommandTests.ReadLinesAsync(vm, 500);
        var info = await vm.ShowAsync();
        Assert.Equal((VmState.Running, "a", 1L), (info.State, info.Silo, info.Epoch));
        var runs = await vm.RunsAsync();
        VmCommandTests.AssertNoOverlap(runs);
        Assert.All(runs.Intervals, r => Assert.Equal("a", r.SiloName));
        Assert.False(a.HasExited || b.HasExited);
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task WhenTheStoreHasLostItsDataTheGuestsEndAndTheSiloSaysWhy(StoreKind kind)
    {
        await using var store = await StoreServer.StartAsync(kind, _folder);
        await using var silo = await SiloAsync("a", store);
        await using var client = await ConnectedAsync(store, silos: 1);
        var vm = client.Vm("gone");
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync();
        await VmCommandTests.ReadLinesAsync(vm, 50);

        await store.KillAsync();
        Directory.Delete(Path.Combine(_folder, kind == StoreKind.Embedded ? "store" : "redis"), recursive: true);
        await store.StartAgainAsync();

        // Without a record nobody may run it: were it kept, the same name could be created and started elsewhere.
        await Eventually.HoldsAsync("the silo says why", () => Task.FromResult(silo.Errors.Contains("The store has no record of VM gone any more", StringComparison.Ordinal)));
        await Eventually.HoldsAsync("the guest has ended", async () => (await vm.RunsAsync()).Intervals is [.., { Stopped: not null }]);
    }

    [Fact]
    public async Task ASiloWhoseStoreIsAbsentEndsWhenItIsToldTo()
    {
        await using var store = await StoreServer.StartAsync(StoreKind.Embedded, _folder);
        await using var silo = await SiloAsync("a", store);
        await store.KillAsync();

        silo.Signal("-TERM");

        await silo.WaitForExitAsync();
        Assert.Equal(0, silo.ExitCode);
        Assert.Equal("godwit: silo a ends without a word to the others, who find out by themselves: the store does not answer.", silo.Errors.Trim());
    }

    public Task DisposeAsync()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }

        return Task.CompletedTask;
    }

    private Task<TestProcess> SiloAsync(string name, StoreServer store) =>
        TestProcess.StartAsync("silo", "--cluster", _folder, "--store", store.Address, "--name", name, "--lease", "2", "--memory", "1G", "--json");

    private async Task<GodwitClient> ConnectedAsync(StoreServer store, int silos)
    {
        var client = await GodwitClient.ConnectAsync(ClusterAccess.Open(_folder, store.Address));
        await Eventually.HoldsAsync("the silos are active", async () => (await client.SilosAsync()).Count(s => s.Host is not null) == silos);
        return client;
    }
}
