using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>
/// A store or silo process of these tests, ready when constructed; killed by its own id when disposed, and ending by itself
/// when the tests' process is gone.
/// </summary>
internal sealed class TestProcess : IAsyncDisposable
{
    private static readonly TimeSpan _readyLimit = TimeSpan.FromSeconds(120);

    private static readonly TimeSpan _exitLimit = TimeSpan.FromSeconds(90);

    private readonly Process _process;
    private readonly StringBuilder _errors;

    private TestProcess(Process process, StringBuilder errors, JsonElement ready)
    {
        _process = process;
        _errors = errors;
        Ready = ready;
    }

    /// <summary>This test assembly's own executable: a silo with a machine that tests control.</summary>
    public static string Executable => Path.Combine(AppContext.BaseDirectory, "Godwit.Cluster.Tests");

    public JsonElement Ready { get; }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    public int ExitCode => _process.ExitCode;

    public string Errors
    {
        get
        {
            lock (_errors)
            {
                return _errors.ToString();
            }
        }
    }

    public static Task<TestProcess> StartAsync(params string[] arguments) => StartAsync(Executable, arguments);

    public static async Task<TestProcess> StartAsync(string executable, string[] arguments)
    {
        var (process, errors) = Launch(executable, arguments, staying: true);
        using var limit = new CancellationTokenSource(_readyLimit);
        var line = await process.StandardOutput.ReadLineAsync(limit.Token);
        if (line is null)
        {
            await process.WaitForExitAsync(limit.Token);
            throw new InvalidOperationException($"{string.Join(' ', arguments)} ended with {process.ExitCode}: {errors}");
        }

        return new TestProcess(process, errors, JsonDocument.Parse(line).RootElement);
    }

    /// <summary>Runs a command to its end.</summary>
    public static async Task<(int ExitCode, string Output, string Errors)> RunAsync(string executable, params string[] arguments)
    {
        var (process, errors) = Launch(executable, arguments, staying: false);
        using (process)
        {
            using var limit = new CancellationTokenSource(_readyLimit);
            var output = await process.StandardOutput.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, output, errors.ToString());
        }
    }

    public void Kill() => _process.Kill();

    public void Signal(string signal)
    {
        using var kill = Process.Start("kill", [signal, Id.ToString()]);
        kill.WaitForExit();
    }

    public async Task WaitForExitAsync()
    {
        using var limit = new CancellationTokenSource(_exitLimit);
        await _process.WaitForExitAsync(limit.Token);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        await WaitForExitAsync();
        _process.Dispose();
    }

    private static (Process Process, StringBuilder Errors) Launch(string executable, string[] arguments, bool staying)
    {
        var start = new ProcessStartInfo(executable) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        if (staying)
        {
            // As long as its standard input is open, this process is there.
            start.Environment["GODWIT_ENDS_WITH_PARENT"] = "1";
        }

        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        var errors = new StringBuilder();
        var process = Process.Start(start)!;
        if (!staying)
        {
            process.StandardInput.Close();
        }

        process.ErrorDataReceived += (_, e) =>
        {
            lock (errors)
            {
                errors.AppendLine(e.Data);
            }
        };
        process.BeginErrorReadLine();
        return (process, errors);
    }
}
