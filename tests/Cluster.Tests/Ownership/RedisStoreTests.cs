using System.Security.Cryptography;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces.Images;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.Hosting;
using Godwit.Silo.Store;
using Xunit;

namespace Godwit.Cluster.Tests.Ownership;

/// <summary>A Garnet server in this process.</summary>
public sealed class InProcessStore : IAsyncLifetime
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private EmbeddedStore? _server;

    public StoreConnection Connection { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        _server = EmbeddedStore.Start(_folder, FreePort.Find());
        Connection = await StoreConnection.OpenAsync(_server.Address);
    }

    public async Task DisposeAsync()
    {
        await Connection.DisposeAsync();
        _server?.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}

public sealed class RedisStoreTests(InProcessStore store) : IClassFixture<InProcessStore>
{
    private static readonly VmDefinition _definition = new() { MemoryBytes = 1 << 20, CommandLine = "quiet \"öß\"" };

    private readonly RedisOwnershipStore _ownership = new(store.Connection);
    private readonly RedisImageStore _images = new(store.Connection);

    [Fact]
    public async Task WhatIsCreatedIsReadBackAndCannotBeCreatedTwice()
    {
        var name = TwoSilos.NewName();
        Assert.Null(await _ownership.ReadAsync(name, default));

        Assert.True(await _ownership.CreateAsync(name, _definition, default));

        Assert.False(await _ownership.CreateAsync(name, _definition with { MemoryBytes = 2 << 20 }, default));
        Assert.Equal(_definition, await _ownership.ReadDefinitionAsync(name, default));
        Assert.Equal(OwnershipState.Stopped, (await _ownership.ReadAsync(name, default))!.State);
        Assert.Contains(name, await _ownership.ListAsync(default));
    }

    [Fact]
    public async Task AskingAgainForAWriteThatStandsSaysThatItStands()
    {
        var (name, first) = await NewVmAsync();
        var next = first.Next() with { State = OwnershipState.Running, Owner = "A", Epoch = 1 };

        Assert.Null(await _ownership.CompareExchangeAsync(name, first.Version, next, default));
        Assert.Null(await _ownership.CompareExchangeAsync(name, first.Version, next, default));

        Assert.Equal(next, await _ownership.ReadAsync(name, default));
    }

    [Fact]
    public async Task AStaleWriteIsRefusedWithTheRecordThatStands()
    {
        var (name, first) = await NewVmAsync();
        var next = first.Next() with { Epoch = 1 };
        await _ownership.CompareExchangeAsync(name, first.Version, next, default);

        var conflict = await _ownership.CompareExchangeAsync(name, first.Version, first.Next() with { Epoch = 7 }, default);

        Assert.Equal(next, conflict!.Current);
    }

    [Fact]
    public async Task OfManyRacingWritersEachVersionIsReplacedOnce()
    {
        var (name, _) = await NewVmAsync();
        const int writers = 8;
        const int wins = 25;

        await Task.WhenAll(Enumerable.Range(0, writers).Select(_ => Task.Run(async () =>
        {
            for (var won = 0; won < wins;)
            {
                var seen = (await _ownership.ReadAsync(name, default))!;
                if (await _ownership.CompareExchangeAsync(name, seen.Version, seen.Next() with { Epoch = seen.Epoch + 1 }, default) is null)
                {
                    won++;
                }
            }
        })));

        Assert.Equal(writers * wins, (await _ownership.ReadAsync(name, default))!.Epoch);
    }

    [Fact]
    public async Task ADeletedVmIsGoneAndOneThatChangedIsNotDeleted()
    {
        var (name, first) = await NewVmAsync();
        var next = first.Next() with { Epoch = 1 };
        await _ownership.CompareExchangeAsync(name, first.Version, next, default);

        Assert.False(await _ownership.DeleteAsync(name, first.Version, default));
        Assert.True(await _ownership.DeleteAsync(name, next.Version, default));

        Assert.Null(await _ownership.ReadAsync(name, default));
        Assert.Null(await _ownership.ReadDefinitionAsync(name, default));
        Assert.DoesNotContain(name, await _ownership.ListAsync(default));
        Assert.Null((await _ownership.CompareExchangeAsync(name, next.Version, next.Next(), default))!.Current);
    }

    [Fact]
    public async Task AnImageOfSeveralChunksComesBackWhole()
    {
        var image = RandomNumberGenerator.GetBytes((2 * ImageChunk.Size) + 17);
        var hash = await UploadAsync(image);

        Assert.True(await _images.CompleteAsync(hash, image.Length, default));

        Assert.Equal(image, await _images.ReadAsync(hash, default));
    }

    [Fact]
    public async Task AnImageWithAnotherHashIsRefusedAndLeavesNothing()
    {
        var image = RandomNumberGenerator.GetBytes(100);
        var wrong = new string('a', 64);
        await _images.WriteChunkAsync(wrong, 0, image, default);

        Assert.False(await _images.CompleteAsync(wrong, image.Length, default));

        Assert.False(await _images.ExistsAsync(wrong, default));
        Assert.Null(await _images.ReadAsync(wrong, default));
        Assert.False(await store.Connection.Database.KeyExistsAsync($"godwit:image:{wrong}:0"));
    }

    [Fact]
    public async Task AnImageThatWasDamagedInTheStoreIsNotHandedOut()
    {
        var image = RandomNumberGenerator.GetBytes(1000);
        var hash = await UploadAsync(image);
        await _images.CompleteAsync(hash, image.Length, default);
        image[500] ^= 1;
        await store.Connection.Database.StringSetAsync($"godwit:image:{hash}:0", image);

        await Assert.ThrowsAsync<InvalidDataException>(() => _images.ReadAsync(hash, default));
    }

    private async Task<string> UploadAsync(byte[] image)
    {
        var hash = Convert.ToHexStringLower(SHA256.HashData(image));
        for (var i = 0; i * ImageChunk.Size < image.Length; i++)
        {
            await _images.WriteChunkAsync(hash, i, image.AsMemory(i * ImageChunk.Size, Math.Min(ImageChunk.Size, image.Length - (i * ImageChunk.Size))), default);
        }

        return hash;
    }

    private async Task<(string Name, OwnershipRecord First)> NewVmAsync()
    {
        var name = TwoSilos.NewName();
        await _ownership.CreateAsync(name, _definition, default);
        return (name, (await _ownership.ReadAsync(name, default))!);
    }
}
