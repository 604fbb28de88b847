using System.Net;
using System.Net.Sockets;
using Godwit.Access;
using Orleans.Runtime;

namespace Godwit.Silo.Hosting;

/// <summary>
/// Before a silo shows itself in the membership table: those that are in it let it in. One that is a stranger to them would
/// hold them for dead, since none answers it, and say so in the table.
/// </summary>
internal static class JoinCheck
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(3);

    /// <summary>Throws <see cref="IOException"/> with one line where a live silo does not take this one for a silo of its cluster. Silos that cannot be reached say nothing.</summary>
    public static async Task RequireAsync(IServiceProvider services, ConnectionGuard guard, CancellationToken cancellation)
    {
        var table = services.GetRequiredService<IMembershipTable>();
        await table.InitializeMembershipTableAsync(tryInitTableVersion: true, cancellation);
        var others = (await table.ReadAllAsync(cancellation)).Members.Select(m => m.Item1).Where(m => m.Status == SiloStatus.Active);
        await Task.WhenAll(others.Select(m => RequireAsync(m.SiloName, m.SiloAddress.Endpoint, guard, cancellation)));
    }

    private static async Task RequireAsync(string name, IPEndPoint endpoint, ConnectionGuard guard, CancellationToken cancellation)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(_limit);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(endpoint, limit.Token);
            await using var raw = new NetworkStream(socket);
            await using var guarded = await guard.ConnectAsync(raw, ClusterPort.Silo, endpoint, limit.Token);
        }
        catch (AccessRefusedException e)
        {
            throw new IOException($"Silo {name} of the cluster does not let this one join: {e.Message}.");
        }
        catch (Exception e) when (e is SocketException or IOException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            // Dead, and membership does not know it yet.
        }
    }
}
