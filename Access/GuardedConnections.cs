using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Orleans.Configuration;

namespace Godwit.Access;

/// <summary>Puts a <see cref="ConnectionGuard"/> before everything that Orleans says on its connections.</summary>
public static class GuardedConnections
{
    public static void Guard(this ClientConnectionOptions options, ConnectionGuard guard) =>
        options.ConfigureConnection(c => c.UseGuardToConnect(guard, ClusterPort.Gateway));

    public static void UseGuardToAccept(this IConnectionBuilder connections, ConnectionGuard guard, ClusterPort port) =>
        connections.Use(next => context => RunAsync(context, next, raw => guard.AcceptAsync(raw, port, context.ConnectionClosed)));

    public static void UseGuardToConnect(this IConnectionBuilder connections, ConnectionGuard guard, ClusterPort port) =>
        connections.Use(next => context => RunAsync(context, next, raw => guard.ConnectAsync(raw, port, context.RemoteEndPoint, context.ConnectionClosed)));

    private static async Task RunAsync(ConnectionContext context, ConnectionDelegate next, Func<Stream, Task<Stream>> guard)
    {
        // Neither stream closes what is under it: the connection ends its transport itself.
        var raw = new DuplexPipeStream(context.Transport);
        var guarded = await guard(raw);
        if (ReferenceEquals(guarded, raw))
        {
            await next(context);
            return;
        }

        await using (guarded)
        {
            context.Transport = new StreamPipes(guarded);
            await next(context);
        }
    }

    private sealed class StreamPipes(Stream stream) : IDuplexPipe
    {
        private const int BufferSize = 64 * 1024;

        public PipeReader Input { get; } = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: BufferSize, leaveOpen: true));

        public PipeWriter Output { get; } = PipeWriter.Create(stream, new StreamPipeWriterOptions(minimumBufferSize: BufferSize, leaveOpen: true));
    }
}
