using System.Diagnostics;
using Godwit.Grains.Interfaces;

namespace Godwit.Client;

/// <summary>Grain calls as this library makes them: refusals as <see cref="GodwitException"/>, idempotent ones repeated while a silo's death is being noticed.</summary>
internal sealed class ClusterCalls
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(200);

    private readonly IClusterClient _cluster;

    public ClusterCalls(IClusterClient cluster) => _cluster = cluster;

    /// <summary>One call; whether it was carried out is unknown when the silo did not answer.</summary>
    public async Task<T> OnceAsync<T>(Func<IGrainFactory, Task<T>> call, CancellationToken cancellation)
    {
        try
        {
            return await call(_cluster).WaitAsync(cancellation);
        }
        catch (ClusterException e)
        {
            throw new GodwitException(e.Error, e.Message, e);
        }
        catch (Exception e) when (IsSilence(e, cancellation))
        {
            throw new GodwitException(ClusterError.Unavailable, "The cluster did not answer; whether the command was carried out is not known. Look with \"vm show\".", e);
        }
    }

    public Task OnceAsync(Func<IGrainFactory, Task> call, CancellationToken cancellation) =>
        OnceAsync(WithResult(call), cancellation);

    /// <summary>A call that may be made twice: repeated for a while where a silo did not answer.</summary>
    public async Task<T> RetryAsync<T>(Func<IGrainFactory, Task<T>> call, CancellationToken cancellation)
    {
        var since = Stopwatch.GetTimestamp();
        using var pause = new PeriodicTimer(_pause);
        while (true)
        {
            try
            {
                return await call(_cluster).WaitAsync(cancellation);
            }
            catch (ClusterException e)
            {
                throw new GodwitException(e.Error, e.Message, e);
            }
            catch (Exception e) when (IsSilence(e, cancellation))
            {
                if (Stopwatch.GetElapsedTime(since) > _patience)
                {
                    throw new GodwitException(ClusterError.Unavailable, "The cluster does not answer.", e);
                }
            }

            await pause.WaitForNextTickAsync(cancellation);
        }
    }

    public Task RetryAsync(Func<IGrainFactory, Task> call, CancellationToken cancellation) =>
        RetryAsync(WithResult(call), cancellation);

    private static Func<IGrainFactory, Task<bool>> WithResult(Func<IGrainFactory, Task> call) => async g =>
    {
        await call(g);
        return true;
    };

    /// <summary>A call is also given up by a silo that lost what it needed for it, or by the client as its connection broke: not by this caller.</summary>
    private static bool IsSilence(Exception e, CancellationToken cancellation) =>
        e is TimeoutException or OrleansException || (e is OperationCanceledException && !cancellation.IsCancellationRequested);
}
