using System.Net;
using System.Net.Sockets;
using Godwit.Access;
using Godwit.Grains.Interfaces;

namespace Godwit.Silo.DataPlane;

/// <summary>The source's end of a data connection, after the target has accepted it.</summary>
internal static class MigrationLink
{
    /// <summary>Throws <see cref="ClusterException"/> where the target cannot be reached in time or refuses.</summary>
    public static async Task<Stream> ConnectAsync(string endpoint, ConnectionGuard guard, byte[] token, string vm, string attempt, TimeSpan limit, CancellationToken cancellation)
    {
        using var timed = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        timed.CancelAfter(limit);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        var stream = default(Stream);
        try
        {
            var address = IPEndPoint.Parse(endpoint);
            await socket.ConnectAsync(address, timed.Token);
            stream = new NetworkStream(socket, ownsSocket: true);
            stream = await guard.ConnectAsync(stream, ClusterPort.Data, address, timed.Token);
            await new Preamble(token, vm, attempt).WriteAsync(stream, timed.Token);
            if (await Preamble.ReadAnswerAsync(stream, timed.Token) is { } refusal)
            {
                throw new ClusterException(ClusterError.Failed, $"The target refused the data connection: {refusal}");
            }

            return stream;
        }
        catch (Exception e) when (e is SocketException or IOException or InvalidDataException or FormatException or AccessRefusedException || (e is OperationCanceledException && !cancellation.IsCancellationRequested))
        {
            await ReleaseAsync(stream, socket);
            throw new ClusterException(ClusterError.Unavailable, $"The target's data port {endpoint} cannot be reached: {(e is OperationCanceledException ? "no answer in time" : e.Message)}", e);
        }
        catch
        {
            await ReleaseAsync(stream, socket);
            throw;
        }
    }

    private static async Task ReleaseAsync(Stream? stream, Socket socket)
    {
        if (stream is not null)
        {
            await stream.DisposeAsync();
        }

        socket.Dispose();
    }
}
