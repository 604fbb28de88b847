using System.Security.Cryptography;
using Godwit.Grains.Images;
using Godwit.Grains.Interfaces.Images;
using StackExchange.Redis;

namespace Godwit.Silo.Store;

/// <summary>
/// Images as Redis strings of at most <see cref="ImageChunk.Size"/> bytes, so that no value is large, and a length key
/// that exists once the hash has been checked.
/// </summary>
public sealed class RedisImageStore : IImageStore
{
    private readonly StoreConnection _store;

    public RedisImageStore(StoreConnection store) => _store = store;

    public Task<bool> ExistsAsync(string hash, CancellationToken cancellation) =>
        _store.Database.KeyExistsAsync(LengthKey(hash)).WaitAsync(cancellation);

    public async Task WriteChunkAsync(string hash, int index, ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        // A complete image never changes; a late chunk of a second upload is the same content or a lie.
        if (!await ExistsAsync(hash, cancellation))
        {
            await _store.Database.StringSetAsync(ChunkKey(hash, index), bytes).WaitAsync(cancellation);
        }
    }

    public async Task<bool> CompleteAsync(string hash, long length, CancellationToken cancellation)
    {
        if (await ExistsAsync(hash, cancellation))
        {
            return true;
        }

        if (await CollectAsync(hash, length, cancellation) is not null)
        {
            await _store.Database.StringSetAsync(LengthKey(hash), length).WaitAsync(cancellation);
            return true;
        }

        var chunks = Enumerable.Range(0, ChunksOf(length)).Select(i => ChunkKey(hash, i)).ToArray();
        await _store.Database.KeyDeleteAsync(chunks).WaitAsync(cancellation);
        return false;
    }

    public async Task<byte[]?> ReadAsync(string hash, CancellationToken cancellation)
    {
        var length = await _store.Database.StringGetAsync(LengthKey(hash)).WaitAsync(cancellation);
        if (length.IsNull)
        {
            return null;
        }

        return await CollectAsync(hash, (long)length, cancellation)
            ?? throw new InvalidDataException($"The store's image {hash} is damaged: its content does not have that hash.");
    }

    private async Task<byte[]?> CollectAsync(string hash, long length, CancellationToken cancellation)
    {
        var image = new byte[length];
        var filled = 0;
        for (var i = 0; i < ChunksOf(length); i++)
        {
            byte[]? chunk = await _store.Database.StringGetAsync(ChunkKey(hash, i)).WaitAsync(cancellation);
            if (chunk is null || chunk.Length != Math.Min(ImageChunk.Size, image.Length - filled))
            {
                return null;
            }

            chunk.CopyTo(image, filled);
            filled += chunk.Length;
        }

        return Convert.ToHexStringLower(SHA256.HashData(image)) == hash ? image : null;
    }

    private static int ChunksOf(long length) => (int)((length + ImageChunk.Size - 1) / ImageChunk.Size);

    private static RedisKey LengthKey(string hash) => $"godwit:image:{hash}:length";

    private static RedisKey ChunkKey(string hash, int index) => $"godwit:image:{hash}:{index}";
}
