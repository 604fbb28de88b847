using System.Net;

namespace Godwit.Access;

/// <summary>A silo's three listeners; what is proved at one counts for nothing at another.</summary>
public enum ClusterPort
{
    /// <summary>Orleans between silos.</summary>
    Silo = 1,

    /// <summary>Orleans from clients.</summary>
    Gateway = 2,

    /// <summary>Migrations' pages.</summary>
    Data = 3,
}

/// <summary>What both ends of every connection of a cluster do before anything else is said on it: each proves to the other that it belongs there.</summary>
public abstract class ConnectionGuard
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(10);

    /// <summary>Why the last connection that this end opened was refused; null where the last one was not.</summary>
    public string? LastRefusal { get; private set; }

    /// <summary>The stream to go on with, for whoever listens. Throws <see cref="AccessRefusedException"/> or an I/O error where the peer is a stranger.</summary>
    public Task<Stream> AcceptAsync(Stream connection, ClusterPort port, CancellationToken cancellation) =>
        WithinLimit(stop => AcceptCoreAsync(connection, port, stop), cancellation);

    /// <summary>The stream to go on with, for whoever connects.</summary>
    /// <param name="peer">Whom this end means to reach; null: whoever listens there.</param>
    public async Task<Stream> ConnectAsync(Stream connection, ClusterPort port, EndPoint? peer, CancellationToken cancellation)
    {
        try
        {
            var stream = await WithinLimit(stop => ConnectCoreAsync(connection, port, peer, stop), cancellation);
            LastRefusal = null;
            return stream;
        }
        catch (Exception e) when (e is AccessRefusedException or IOException)
        {
            LastRefusal = e is AccessRefusedException ? e.Message : null;
            throw;
        }
    }

    protected abstract Task<Stream> AcceptCoreAsync(Stream connection, ClusterPort port, CancellationToken cancellation);

    protected abstract Task<Stream> ConnectCoreAsync(Stream connection, ClusterPort port, EndPoint? peer, CancellationToken cancellation);

    private static async Task<Stream> WithinLimit(Func<CancellationToken, Task<Stream>> work, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(_limit);
        try
        {
            return await work(limit.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new IOException($"the peer did not prove itself within {_limit.TotalSeconds:0} s");
        }
    }
}

/// <summary>One end did not take the other for what it said it was; the message says why, in one line.</summary>
public sealed class AccessRefusedException(string message) : Exception(message);
