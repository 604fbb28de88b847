using System.Security.Cryptography;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces.Images;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.Store;
using Xunit;

namespace Godwit.Cluster.Tests.Ownership;

/// <summary>A store of each kind, started when a test first asks for it.</summary>
public sealed class StoreServers : IAsyncLifetime
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly Dictionary<StoreKind, (StoreServer Server, StoreConnection Connection)> _stores = [];

    public async Task<StoreConnection> OpenAsync(StoreKind kind)
    {
        if (!_stores.TryGetValue(kind, out var store))
        {
            var server = await StoreServer.StartAsync(kind, Path.Combine(_folder, kind.ToString()));
            _stores[kind] = store = (server, await StoreConnection.OpenAsync(server.Login));
        }

        return store.Connection;
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var (server, connection) in _stores.Values)
        {
            await connection.DisposeAsync();
            await server.DisposeAsync();
        }

        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }
}

/// <summary>What silos ask of a store, on each kind of store.</summary>
public sealed class RedisStoreTests(StoreServers stores) : IClassFixture<StoreServers>
{
    private static readonly VmDefinition _definition = new() { MemoryBytes = 1 << 20, CommandLine = "quiet \"öß\"" };

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task WhatIsCreatedIsReadBackAndCannotBeCreatedTwice(StoreKind kind)
    {
        var ownership = new RedisOwnershipStore(await stores.OpenAsync(kind));
        var name = TwoSilos.NewName();
        Assert.Null(await ownership.ReadAsync(name, default));

        Assert.True(await ownership.CreateAsync(name, _definition, default));

        Assert.False(await ownership.CreateAsync(name, _definition with { MemoryBytes = 2 << 20 }, default));
        Assert.Equal(_definition, await ownership.ReadDefinitionAsync(name, default));
        Assert.Equal(OwnershipState.Stopped, (await ownership.ReadAsync(name, default))!.State);
        Assert.Contains(name, await ownership.ListAsync(default));
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task AskingAgainForAWriteThatStandsSaysThatItStands(StoreKind kind)
    {
        var ownership = new RedisOwnershipStore(await stores.OpenAsync(kind));
        var (name, first) = await NewVmAsync(ownership);
        var next = first.Next() with { State = OwnershipState.Running, Owner = "A", Epoch = 1 };

        Assert.Null(await ownership.CompareExchangeAsync(name, first.Version, next, default));
        Assert.Null(await ownership.CompareExchangeAsync(name, first.Version, next, default));

        Assert.Equal(next, await ownership.ReadAsync(name, default));
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task AStaleWriteIsRefusedWithTheRecordThatStands(StoreKind kind)
    {
        var ownership = new RedisOwnershipStore(await stores.OpenAsync(kind));
        var (name, first) = await NewVmAsync(ownership);
        var next = first.Next() with { Epoch = 1 };
        await ownership.CompareExchangeAsync(name, first.Version, next, default);

        var conflict = await ownership.CompareExchangeAsync(name, first.Version, first.Next() with { Epoch = 7 }, default);

        Assert.Equal(next, conflict!.Current);
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task OfManyRacingWritersEachVersionIsReplacedOnce(StoreKind kind)
    {
        var ownership = new RedisOwnershipStore(await stores.OpenAsync(kind));
        var (name, _) = await NewVmAsync(ownership);
        const int writers = 8;
        const int wins = 25;

        await Task.WhenAll(Enumerable.Range(0, writers).Select(_ => Task.Run(async () =>
        {
            for (var won = 0; won < wins;)
            {
                var seen = (await ownership.ReadAsync(name, default))!;
                if (await ownership.CompareExchangeAsync(name, seen.Version, seen.Next() with { Epoch = seen.Epoch + 1 }, default) is null)
                {
                    won++;
                }
            }
        })));

        Assert.Equal(writers * wins, (await ownership.ReadAsync(name, default))!.Epoch);
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task ADeletedVmIsGoneAndOneThatChangedIsNotDeleted(StoreKind kind)
    {
        var ownership = new RedisOwnershipStore(await stores.OpenAsync(kind));
        var (name, first) = await NewVmAsync(ownership);
        var next = first.Next() with { Epoch = 1 };
        await ownership.CompareExchangeAsync(name, first.Version, next, default);

        Assert.False(await ownership.DeleteAsync(name, first.Version, default));
        Assert.True(await ownership.DeleteAsync(name, next.Version, default));

        Assert.Null(await ownership.ReadAsync(name, default));
        Assert.Null(await ownership.ReadDefinitionAsync(name, default));
        Assert.DoesNotContain(name, await ownership.ListAsync(default));
        Assert.Null((await ownership.CompareExchangeAsync(name, next.Version, next.Next(), default))!.Current);
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task AnImageOfSeveralChunksComesBackWhole(StoreKind kind)
    {
        var images = new RedisImageStore(await stores.OpenAsync(kind));
        var image = RandomNumberGenerator.GetBytes((2 * ImageChunk.Size) + 17);
        var hash = await UploadAsync(images, image);

        Assert.True(await images.CompleteAsync(hash, image.Length, default));

        Assert.Equal(image, await images.ReadAsync(hash, default));
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task AnImageWithAnotherHashIsRefusedAndLeavesNothing(StoreKind kind)
    {
        var store = await stores.OpenAsync(kind);
        var images = new RedisImageStore(store);
        var image = RandomNumberGenerator.GetBytes(100);
        var wrong = new string('a', 64);
        await images.WriteChunkAsync(wrong, 0, image, default);

        Assert.False(await images.CompleteAsync(wrong, image.Length, default));

        Assert.False(await images.ExistsAsync(wrong, default));
        Assert.Null(await images.ReadAsync(wrong, default));
        Assert.False(await store.Database.KeyExistsAsync($"godwit:image:{wrong}:0"));
    }

    [Theory, OnEmbeddedStore, OnRedisServer]
    public async Task AnImageThatWasDamagedInTheStoreIsNotHandedOut(StoreKind kind)
    {
        var store = await stores.OpenAsync(kind);
        var images = new RedisImageStore(store);
        var image = RandomNumberGenerator.GetBytes(1000);
        var hash = await UploadAsync(images, image);
        await images.CompleteAsync(hash, image.Length, default);
        image[500] ^= 1;
        await store.Database.StringSetAsync($"godwit:image:{hash}:0", image);

        await Assert.ThrowsAsync<InvalidDataException>(() => images.ReadAsync(hash, default));
    }

    private static async Task<string> UploadAsync(RedisImageStore images, byte[] image)
    {
        var hash = Convert.ToHexStringLower(SHA256.HashData(image));
        for (var i = 0; i * ImageChunk.Size < image.Length; i++)
        {
            await images.WriteChunkAsync(hash, i, image.AsMemory(i * ImageChunk.Size, Math.Min(ImageChunk.Size, image.Length - (i * ImageChunk.Size))), default);
        }

        return hash;
    }

    private static async Task<(string Name, OwnershipRecord First)> NewVmAsync(RedisOwnershipStore ownership)
    {
        var name = TwoSilos.NewName();
        await ownership.CreateAsync(name, _definition, default);
        return (name, (await ownership.ReadAsync(name, default))!);
    }
}
