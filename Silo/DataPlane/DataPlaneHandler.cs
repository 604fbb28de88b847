using Godwit.Access;
using Godwit.Silo.Migrations;
using Microsoft.AspNetCore.Connections;

namespace Godwit.Silo.DataPlane;

/// <summary>
/// Accepts data connections: whoever has proved to be a silo of the cluster, shows its token and names an attempt that this silo expects is handed to
/// that attempt; everything else gets one line and is closed.
/// </summary>
internal sealed partial class DataPlaneHandler : ConnectionHandler
{
    private static readonly TimeSpan _preambleLimit = TimeSpan.FromSeconds(10);

    private readonly IncomingMigrations _incoming;
    private readonly ClusterToken _token;
    private readonly ConnectionGuard _guard;
    private readonly ILogger<DataPlaneHandler> _log;

    public DataPlaneHandler(IncomingMigrations incoming, ClusterToken token, ConnectionGuard guard, ILogger<DataPlaneHandler> log)
    {
        _incoming = incoming;
        _token = token;
        _guard = guard;
        _log = log;
    }

    public override async Task OnConnectedAsync(ConnectionContext connection)
    {
        await using var raw = new DuplexPipeStream(connection.Transport);
        try
        {
            await using var stream = await _guard.AcceptAsync(raw, ClusterPort.Data, connection.ConnectionClosed);
            if (await AcceptAsync(stream, connection.ConnectionClosed) is { } attempt)
            {
                await _incoming.ReceiveAsync(attempt, stream);
            }
        }
        catch (Exception e)
        {
            // The edge of a connection: whatever came in, the silo goes on.
            LogClosed(connection.RemoteEndPoint?.ToString() ?? "?", e.Message);
        }
    }

    private async Task<IncomingMigration?> AcceptAsync(Stream stream, CancellationToken closed)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(closed);
        limit.CancelAfter(_preambleLimit);
        var preamble = await Preamble.ReadAsync(stream, limit.Token);
        if (!preamble.HasToken(_token.Bytes))
        {
            await Preamble.AnswerAsync(stream, "wrong cluster token", limit.Token);
            return null;
        }

        var attempt = _incoming.Take(preamble.Vm, preamble.Attempt);
        try
        {
            await Preamble.AnswerAsync(stream, attempt is null ? "no such migration is expected" : null, limit.Token);
            return attempt;
        }
        catch
        {
            // Taken, and the source gone: its memory is free again.
            attempt?.Dispose();
            throw;
        }
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "Data connection from {Peer} ended: {Error}")]
    private partial void LogClosed(string peer, string error);
}

/// <summary>The secret that silos of one cluster show one another.</summary>
internal sealed record ClusterToken(byte[] Bytes);
