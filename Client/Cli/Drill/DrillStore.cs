using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Godwit.Access;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Drill;

/// <summary>The store of a drill's cluster, found in its folder by silos and clients, and ended with it.</summary>
internal sealed class DrillStore : IAsyncDisposable
{
    public const string Embedded = "embedded";
    public const string Redis = "redis";

    private const int PortAttempts = 3;

    /// <summary>
    /// Runs redis-server with the configuration file named, until standard input ends: also when the drill is killed, none is left.
    /// The shell's own standard output is closed, so that the server's end is its end.
    /// </summary>
    private const string UntilInputEnds = "redis-server \"$1\" & server=$!; exec >&-; cat >/dev/null; kill -KILL $server; wait $server";

    private static readonly TimeSpan s_readyLimit = TimeSpan.FromSeconds(60);

    private readonly DrillProcess? _embedded;
    private readonly Process? _redis;

    private DrillStore(string address, DrillProcess? embedded, Process? redis)
    {
        Address = address;
        _embedded = embedded;
        _redis = redis;
    }

    /// <summary>HOST:PORT.</summary>
    public string Address { get; }

    /// <param name="kind"><see cref="Embedded"/>, or <see cref="Redis"/>: Debian's redis-server on a loopback port, which syncs every write before its answer.</param>
    /// <param name="executable">The silo executable, whose <c>store</c> command is the embedded store.</param>
    /// <param name="folder">The cluster folder; holds the store's data.</param>
    public static async Task<DrillStore> StartAsync(string kind, string executable, string folder, CancellationToken cancellation)
    {
        if (kind == Redis)
            return await StartRedisAsync(folder, cancellation).ConfigureAwait(false);
        DrillProcess store = await DrillProcess.StartAsync(executable, ["store", "--cluster", folder, "--json"], cancellation).ConfigureAwait(false);
        return new DrillStore(store.Ready.GetProperty("address").GetString()!, store, null);
    }

    public async ValueTask DisposeAsync()
    {
        if (_embedded is not null)
            await _embedded.DisposeAsync().ConfigureAwait(false);
        if (_redis is not null)
            await EndAsync(_redis).ConfigureAwait(false);
    }

    private static async Task<DrillStore> StartRedisAsync(string folder, CancellationToken cancellation)
    {
        string data = Directory.CreateDirectory(Path.Combine(folder, "redis")).FullName;
        string configuration = Path.Combine(folder, "redis.conf");
        string password = ClusterSecret.ReadOrCreate(folder).StorePassword;
        for (int attempt = 1; ; attempt++)
        {
            int port = FreePort();
            OwnerFile.Write(configuration, string.Create(CultureInfo.InvariantCulture, $"bind 127.0.0.1\nport {port}\ndir \"{data}\"\nrequirepass {password}\nappendonly yes\nappendfsync always\nsave \"\"\n"), replace: true);
            Process shell = Process.Start(new ProcessStartInfo("sh", ["-c", UntilInputEnds, "sh", configuration])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            }) ?? throw new DrillException("cannot start sh");
            if (await FailureAsync(shell, cancellation).ConfigureAwait(false) is not { } failure)
            {
                string address = string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{port}");
                OwnerFile.Write(Path.Combine(folder, LocalCluster.StoreFile), JsonSerializer.Serialize(new StoreNote(address, shell.Id), LocalCluster.Json), replace: true);
                return new DrillStore(address, null, shell);
            }
            await EndAsync(shell).ConfigureAwait(false);
            if (attempt == PortAttempts)
                throw new DrillException($"redis-server (Debian's package redis-server) ended before it was ready: {failure}");
        }
    }

    /// <summary>Null once it takes connections, else what it said. What it says is read for its whole life, so that it never waits for a reader.</summary>
    private static async Task<string?> FailureAsync(Process shell, CancellationToken cancellation)
    {
        StringBuilder said = new();
        TaskCompletionSource<string?> ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
        void Hear(string? line)
        {
            lock (said)
            {
                if (line is null)
                    ready.TrySetResult(said.ToString().Trim());
                else if (line.Contains("Ready to accept connections", StringComparison.Ordinal))
                    ready.TrySetResult(null);
                else if (!ready.Task.IsCompleted)
                    said.Append(line).Append(' ');
            }
        }
        shell.OutputDataReceived += (_, line) => Hear(line.Data);
        shell.ErrorDataReceived += (_, line) => Hear(line.Data ?? "");
        shell.BeginOutputReadLine();
        shell.BeginErrorReadLine();
        try
        {
            return await ready.Task.WaitAsync(s_readyLimit, cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return $"nothing for {s_readyLimit.TotalSeconds:0} s";
        }
        catch (OperationCanceledException)
        {
            await EndAsync(shell).ConfigureAwait(false);
            throw;
        }
    }

    private static async Task EndAsync(Process shell)
    {
        using (shell)
        {
            shell.StandardInput.Close();
            await shell.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
