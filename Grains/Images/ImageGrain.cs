using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Images;

namespace Godwit.Grains.Images;

/// <summary>The client's way to the image store.</summary>
public sealed class ImageGrain : Grain, IImageGrain
{
    private readonly IImageStore _images;

    public ImageGrain(IImageStore images) => _images = images;

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        var hash = this.GetPrimaryKeyString();
        if (hash.Length != 64 || !hash.All(char.IsAsciiHexDigitLower))
        {
            throw new ClusterException(ClusterError.Invalid, "An image is named by its SHA-256 as 64 lower-case hex digits.");
        }

        return base.OnActivateAsync(cancellationToken);
    }

    public Task<bool> Exists() => _images.ExistsAsync(this.GetPrimaryKeyString(), CancellationToken.None);

    public async Task WriteChunk(int index, byte[] bytes)
    {
        if (index is < 0 or >= (int)(ImageChunk.MaxImage / ImageChunk.Size) || bytes.Length is 0 or > ImageChunk.Size)
        {
            throw new ClusterException(ClusterError.Invalid, $"An image has at most {ImageChunk.MaxImage} bytes in chunks of up to {ImageChunk.Size}.");
        }

        await _images.WriteChunkAsync(this.GetPrimaryKeyString(), index, bytes, CancellationToken.None);
    }

    public async Task Complete(long length)
    {
        if (length is <= 0 or > ImageChunk.MaxImage)
        {
            throw new ClusterException(ClusterError.Invalid, $"An image has 1 to {ImageChunk.MaxImage} bytes.");
        }

        if (!await _images.CompleteAsync(this.GetPrimaryKeyString(), length, CancellationToken.None))
        {
            throw new ClusterException(ClusterError.Invalid, $"What was uploaded does not have the hash {this.GetPrimaryKeyString()}; upload the image again.");
        }
    }
}
