using System.Globalization;
using Garnet;
using Microsoft.Extensions.Logging.Abstractions;

namespace Godwit.Silo.Store;

/// <summary>A Garnet server in this process, on a loopback port.</summary>
public sealed class EmbeddedStore : IDisposable
{
    private readonly GarnetServer _server;

    private EmbeddedStore(GarnetServer server, int port)
    {
        _server = server;
        Port = port;
    }

    public int Port { get; }

    public string Address => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{Port}");

    /// <summary>
    /// Starts the server with its log and checkpoints in <paramref name="folder"/>. A write is acknowledged once it is in
    /// the append-only file: an ownership record that was acknowledged must survive.
    /// </summary>
    public static EmbeddedStore Start(string folder, int port, string password, ILoggerFactory? log = null)
    {
        Directory.CreateDirectory(folder);
        var server = new GarnetServer(
            [
                "--bind", "127.0.0.1",
                "--port", port.ToString(CultureInfo.InvariantCulture),
                "--memory", "256m",
                "--page", "4m",
                "--segment", "64m",
                "--index", "8m",
                "--auth", "Password",
                "--password", password,
                "--lua",
                "--aof",
                "--aof-commit-wait",
                "--aof-memory", "32m",
                "--aof-page-size", "8m",
                "--aof-size-limit", "128m",
                "--aof-segment-size", "64m",
                "--storage-tier",
                "--logdir", folder,
                "--checkpointdir", folder,
                "--recover",
                // Garnet's native device needs glibc 2.38; Debian 12 has 2.36.
                "--device-type", "RandomAccess",
                "-q",
            ],
            log ?? NullLoggerFactory.Instance);
        server.Start();
        return new EmbeddedStore(server, port);
    }

    public void Dispose() => _server.Dispose();
}
