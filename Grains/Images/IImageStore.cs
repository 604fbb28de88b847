namespace Godwit.Grains.Images;

/// <summary>Boot images by the SHA-256 of their content (lower-case hex).</summary>
public interface IImageStore
{
    Task<bool> ExistsAsync(string hash, CancellationToken cancellation);

    /// <summary>Stores one chunk of an image that is not complete yet.</summary>
    Task WriteChunkAsync(string hash, int index, ReadOnlyMemory<byte> bytes, CancellationToken cancellation);

    /// <summary>Reads the chunks back and checks their hash. False: it is wrong, and the chunks are removed.</summary>
    Task<bool> CompleteAsync(string hash, long length, CancellationToken cancellation);

    /// <summary>The whole image, checked. Null where there is no complete one; throws <see cref="InvalidDataException"/> where its content does not match.</summary>
    Task<byte[]?> ReadAsync(string hash, CancellationToken cancellation);
}
