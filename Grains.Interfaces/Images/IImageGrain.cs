namespace Godwit.Grains.Interfaces.Images;

/// <summary>One boot image; key: its SHA-256 as lower-case hex. Complete images never change.</summary>
[Alias("Godwit.IImageGrain")]
public interface IImageGrain : IGrainWithStringKey
{
    [Alias("Exists")]
    Task<bool> Exists();

    /// <summary>Stores chunk <paramref name="index"/>; all but the last are <see cref="ImageChunk.Size"/> bytes.</summary>
    [Alias("WriteChunk"), ResponseTimeout(CallLimits.Command)]
    Task WriteChunk(int index, byte[] bytes);

    /// <summary>Checks the whole against the key; only then the image exists. Refused, and removed, when the hash is wrong.</summary>
    [Alias("Complete"), ResponseTimeout(CallLimits.Bulk)]
    Task Complete(long length);
}

public static class ImageChunk
{
    /// <summary>Bytes in a chunk: small enough to be a control message, large enough that an initramfs takes few.</summary>
    public const int Size = 512 * 1024;

    /// <summary>The largest image that is taken: 1 GiB.</summary>
    public const long MaxImage = 1L << 30;
}
