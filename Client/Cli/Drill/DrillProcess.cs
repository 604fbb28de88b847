using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Godwit.Access;

namespace Godwit.Cli.Drill;

/// <summary>A store or silo process of a drill: ready once started, ended by its own id.</summary>
internal sealed class DrillProcess : IAsyncDisposable
{
    private static readonly TimeSpan s_readyLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan s_stopLimit = TimeSpan.FromSeconds(10);

    private readonly Process _process;
    private readonly StringBuilder _errors = new();

    private DrillProcess(Process process) => _process = process;

    public int Id => _process.Id;

    /// <summary>What the process printed when it was ready.</summary>
    public JsonElement Ready { get; private set; }

    /// <summary>Starts the silo executable with a command that prints one JSON line when it is ready.</summary>
    public static async Task<DrillProcess> StartAsync(string executable, IEnumerable<string> arguments, CancellationToken cancellation, string? storePassword = null)
    {
        ProcessStartInfo start = new(executable, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // Its end of the pipe closes when this process is gone, even by kill -9: the silo then ends too.
        start.Environment["GODWIT_ENDS_WITH_PARENT"] = "1";
        if (storePassword is not null)
            start.Environment[StoreLogin.PasswordVariable] = storePassword;
        DrillProcess process = new(Process.Start(start) ?? throw new DrillException($"cannot start {executable}"));
        try
        {
            await process.WaitReadyAsync(cancellation).ConfigureAwait(false);
            return process;
        }
        catch
        {
            await process.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public bool HasExited => _process.HasExited;

    /// <summary>kill -9, and waits until the process is gone.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Open descriptors of the process that are guest RAM.</summary>
    public int GuestMemories()
    {
        int count = 0;
        try
        {
            foreach (string link in Directory.EnumerateFiles($"/proc/{Id}/fd"))
                count += IsGuestMemory(link) ? 1 : 0;
        }
        catch (IOException)
        {
            // It has ended, and its memory with it.
            return 0;
        }
        return count;

        static bool IsGuestMemory(string link)
        {
            try
            {
                return new FileInfo(link).LinkTarget?.Contains("memfd:godwit-ram", StringComparison.Ordinal) == true;
            }
            catch (IOException)
            {
                // Closed meanwhile.
                return false;
            }
        }
    }

    /// <summary>Sends a signal by its name without SIG (TERM, KILL, STOP, CONT); .NET has no call for it, kill(1) is on every Linux.</summary>
    public void Signal(string name)
    {
        using Process kill = Process.Start("kill", [$"-{name}", Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);
        kill.WaitForExit();
    }

    /// <summary>What it has written to standard error.</summary>
    public string Errors
    {
        get
        {
            lock (_errors)
                return _errors.ToString();
        }
    }

    /// <summary>SIGTERM, and waits until the process has ended by itself; returns its exit code.</summary>
    public async Task<int> EndAsync(CancellationToken cancellation)
    {
        Signal("TERM");
        await _process.WaitForExitAsync(cancellation).ConfigureAwait(false);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            Signal("TERM");
            using CancellationTokenSource limit = new(s_stopLimit);
            try
            {
                await _process.WaitForExitAsync(limit.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
                await _process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
            }
        }
        _process.Dispose();
    }

    private async Task WaitReadyAsync(CancellationToken cancellation)
    {
        _process.ErrorDataReceived += (_, line) =>
        {
            if (line.Data is { } text)
                lock (_errors)
                    _errors.AppendLine(text);
        };
        _process.BeginErrorReadLine();
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(s_readyLimit);
        string? line;
        try
        {
            line = await _process.StandardOutput.ReadLineAsync(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new DrillException($"{_process.StartInfo.ArgumentList[0]} was not ready within {s_readyLimit.TotalSeconds:0} s");
        }
        if (line is null)
        {
            await _process.WaitForExitAsync(cancellation).ConfigureAwait(false);
            throw new DrillException($"{_process.StartInfo.ArgumentList[0]} ended with code {_process.ExitCode}: {Errors.Trim().ReplaceLineEndings(" ")}");
        }
        Ready = JsonDocument.Parse(line).RootElement;
    }
}
