using Godwit.Grains.Interfaces;

namespace Godwit.Grains.Ownership;

/// <summary>
/// Reads for callers who would rather hear that the store is silent than wait for it: a read changes nothing, so that it
/// may be given up. What changes a record, or decides by it who runs a VM, asks until the answer is known.
/// </summary>
public static class StoreReads
{
    /// <summary>With what placement may take before it, within <see cref="CallLimits.Look"/>.</summary>
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(2);

    /// <summary>Throws <see cref="ClusterException"/> (Unavailable) where the store does not answer.</summary>
    public static async Task<T> OrRefuseAsync<T>(Func<CancellationToken, Task<T>> read)
    {
        using var limit = new CancellationTokenSource(_limit);
        try
        {
            return await read(limit.Token);
        }
        catch (OperationCanceledException)
        {
            throw new ClusterException(ClusterError.Unavailable, "The store does not answer the silos: guests run on until their leases end and go on when it is back; until then nothing can be started, stopped or moved.");
        }
    }
}
