using Godwit.Access;
using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Silo.Store;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>A store of each kind killed with SIGKILL and started again on its data.</summary>
public sealed class StoreDeathTests : IAsyncLifetime
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");

    public Task InitializeAsync() => Task.CompletedTask;

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task AKilledStoreComesBackWithEveryOwnershipWriteThatItAcknowledged(StoreKind kind)
    {
        const int kills = 2;
        const int writesBetween = 50;
        await using var server = await StoreServer.StartAsync(kind, _folder);
        await using var connection = await StoreConnection.OpenAsync(server.Login);
        var store = new RedisOwnershipStore(connection);
        var name = TwoSilos.NewName();
        Assert.True(await store.CreateAsync(name, new VmDefinition { MemoryBytes = 1 << 20 }, default));
        var record = (await store.ReadAsync(name, default))!;

        for (var kill = 1; kill <= kills; kill++)
        {
            for (var i = 0; i < writesBetween; i++)
            {
                await WriteAsync();
            }

            // One write more is on its way while the store dies; its answer is unknown, and it is asked again until it is known.
            var onItsWay = WriteAsync();
            await server.KillAsync();
            await server.StartAgainAsync();
            await onItsWay;

            await using var fresh = await StoreConnection.OpenAsync(server.Login);
            Assert.Equal(record, await new RedisOwnershipStore(fresh).ReadAsync(name, default));
        }

        Assert.Equal(kills * (writesBetween + 1), record.Epoch);

        async Task WriteAsync()
        {
            var next = record.Next() with { Epoch = record.Epoch + 1 };
            var conflict = await store.CompareExchangeAsync(name, record.Version, next, default);
            Assert.True(conflict is null, $"the store has lost epoch {record.Epoch} and stands at {conflict?.Current?.Epoch}");
            record = next;
        }
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task TheGuestsOfAKilledStoreRunOnUnderTheirEpochWhenItIsBack(StoreKind kind)
    {
        await using var store = await StoreServer.StartAsync(kind, _folder);
        await using var silo = await TestProcess.StartAsync("silo", "--cluster", _folder, "--store", store.Address, "--name", "a", "--lease", "2", "--json");
        await using var client = await GodwitClient.ConnectAsync(ClusterAccess.Open(_folder, store.Address));
        var vm = client.Vm("kept");
        await vm.CreateAsync(new VmDefinition { MemoryBytes = 16 << 20 });
        await vm.StartAsync();

        await store.KillAsync();
        await store.StartAgainAsync();

        // The guest stopped at its lease's end at the latest, and goes on under the same epoch.
        Assert.Equal(Enumerable.Range(1, 1500).Select(i => i.ToString()), await VmCommandTests.ReadLinesAsync(vm, 1500));
        Assert.Equal((VmState.Running, 1L), ((await vm.ShowAsync()).State, (await vm.ShowAsync()).Epoch));
        Assert.False(silo.HasExited);
    }

    public Task DisposeAsync()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }

        return Task.CompletedTask;
    }
}
