using System.Diagnostics;
using System.Text;
using Godwit.Silo.Hosting;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>Debian's redis-server on a loopback port with a folder of its own; every write is synced before its answer.</summary>
internal sealed class RedisServer : IAsyncDisposable
{
    private const int PortAttempts = 3;
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(60);

    private readonly Process _process;

    private RedisServer(Process process, int port)
    {
        _process = process;
        Port = port;
    }

    public int Port { get; }

    /// <summary>Where redis-server is; null where the package is not installed.</summary>
    public static string? Executable { get; } = Programs.Find("redis-server");

    public int Id => _process.Id;

    /// <param name="folder">Made if absent; holds the append-only file.</param>
    /// <param name="port">0: a free one.</param>
    /// <param name="password">What it asks for.</param>
    public static async Task<RedisServer> StartAsync(string folder, int port, string password)
    {
        var executable = Executable ?? throw new FileNotFoundException("redis-server is not on the PATH: install Debian's package redis-server (.ci/run does).");
        Directory.CreateDirectory(folder);
        for (var attempt = 1; ; attempt++)
        {
            var tried = port != 0 ? port : FreePort.Find();
            // "-": its configuration comes on standard input, where nobody else sees the password.
            var (process, said) = await LaunchAsync(executable, ["-"], $"""
                bind 127.0.0.1
                port {tried}
                dir "{folder}"
                requirepass {password}
                appendonly yes
                appendfsync always
                save ""
                daemonize no

                """);
            if (said is null)
            {
                return new RedisServer(process, tried);
            }

            process.Dispose();
            if (port != 0 || attempt == PortAttempts)
            {
                throw new InvalidOperationException($"redis-server ended before it was ready: {said}");
            }
        }
    }

    /// <summary>One that is started by a command and settings of its own.</summary>
    public static async Task<RedisServer> StartAsync(string executable, IEnumerable<string> arguments)
    {
        var (process, said) = await LaunchAsync(executable, arguments);
        return said is null ? new RedisServer(process, 0) : throw new InvalidOperationException($"redis-server ended before it was ready: {said}");
    }

    public async Task KillAsync()
    {
        // SIGKILL: it has no chance to write anything more.
        _process.Kill();
        using var limit = new CancellationTokenSource(_limit);
        await _process.WaitForExitAsync(limit.Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            await KillAsync();
        }

        _process.Dispose();
    }

    /// <summary>Null instead of its words once it takes connections; all it says is read for its whole life, so that it never waits for a reader.</summary>
    private static async Task<(Process Process, string? Said)> LaunchAsync(string executable, IEnumerable<string> arguments, string input = "")
    {
        var start = new ProcessStartInfo(executable, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        var said = new StringBuilder();
        var ready = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var process = new Process { StartInfo = start };
        void Hear(string? line)
        {
            if (line is null)
            {
                ready.TrySetResult(said.ToString());
            }
            else if (line.Contains("Ready to accept connections", StringComparison.Ordinal))
            {
                ready.TrySetResult(null);
            }
            else if (!ready.Task.IsCompleted)
            {
                said.AppendLine(line);
            }
        }

        process.OutputDataReceived += (_, e) => Hear(e.Data);
        process.Start();
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            return (process, await ready.Task.WaitAsync(_limit));
        }
        catch (TimeoutException)
        {
            process.Kill();
            return (process, $"nothing for {_limit.TotalSeconds} s");
        }
    }
}
