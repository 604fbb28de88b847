using System.ComponentModel;
using System.Diagnostics;

namespace Godwit.Cli.Guest;

/// <summary>What a child process left behind.</summary>
/// <param name="ExitCode">Its exit code.</param>
/// <param name="Output">Its standard output, lines in order, those that were consumed left out.</param>
/// <param name="Errors">Its standard error, lines in order.</param>
internal sealed record ToolResult(int ExitCode, IReadOnlyList<string> Output, IReadOnlyList<string> Errors);

/// <summary>Runs one of Debian's tools, in the C locale and without a terminal, and kills it when the wait is cancelled.</summary>
internal static class ToolProcess
{
    /// <summary>Runs a tool to its end and collects its lines; <paramref name="consume"/> may take lines as they come.</summary>
    public static async Task<ToolResult> RunAsync(string tool, IReadOnlyList<string> arguments, string directory, Func<string, bool>? consume, CancellationToken cancellation)
    {
        using Process process = Start(tool, arguments, directory);
        List<string> output = [];
        Task reading = ReadLinesAsync(process.StandardOutput, line =>
        {
            if (consume is null || !consume(line))
                output.Add(line);
        });
        List<string> errors = [];
        Task readingErrors = ReadLinesAsync(process.StandardError, errors.Add);
        await WaitAsync(process, Task.WhenAll(reading, readingErrors), cancellation).ConfigureAwait(false);
        return new ToolResult(process.ExitCode, output, errors);
    }

    /// <summary>Runs a tool to its end and hands its output to <paramref name="read"/> as it comes.</summary>
    public static async Task<ToolResult> StreamAsync(string tool, IReadOnlyList<string> arguments, string directory, Func<Stream, Task> read, CancellationToken cancellation)
    {
        using Process process = Start(tool, arguments, directory);
        List<string> errors = [];
        Task readingErrors = ReadLinesAsync(process.StandardError, errors.Add);
        try
        {
            await read(process.StandardOutput.BaseStream).ConfigureAwait(false);
        }
        catch
        {
            Kill(process);
            throw;
        }

        await WaitAsync(process, readingErrors, cancellation).ConfigureAwait(false);
        return new ToolResult(process.ExitCode, [], errors);
    }

    private static Process Start(string tool, IReadOnlyList<string> arguments, string directory)
    {
        ProcessStartInfo start = new(tool)
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        start.Environment["LC_ALL"] = "C";
        start.Environment["DEBIAN_FRONTEND"] = "noninteractive";
        try
        {
            Process process = Process.Start(start)!;
            process.StandardInput.Close();
            return process;
        }
        catch (Win32Exception e)
        {
            throw new GuestFetchException($"{tool} cannot be started ({e.Message})", "Debian's apt and dpkg are needed: run it on Debian", e);
        }
    }

    private static async Task WaitAsync(Process process, Task reading, CancellationToken cancellation)
    {
        try
        {
            await process.WaitForExitAsync(cancellation).ConfigureAwait(false);
            await reading.WaitAsync(cancellation).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            Kill(process);
            throw;
        }
    }

    private static void Kill(Process process)
    {
        process.Kill(entireProcessTree: true);
        process.WaitForExit();
    }

    private static async Task ReadLinesAsync(StreamReader reader, Action<string> take)
    {
        while (await reader.ReadLineAsync().ConfigureAwait(false) is { } line)
            take(line);
    }
}
