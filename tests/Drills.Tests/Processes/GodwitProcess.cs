using System.Diagnostics;

namespace Godwit.Drills.Tests.Processes;

/// <summary>The command line as people run it: a process, its exit code, what it printed.</summary>
internal static class GodwitProcess
{
    // Only a hang is to be told from a busy machine.
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(4);

    private static string Executable => Path.GetFullPath(Path.Combine(
        AppContext.BaseDirectory, "..", "..", "Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Cli"));

    public static Task<Finished> RunAsync(params string[] arguments) => RunAsync(Path.GetTempPath(), arguments);

    /// <summary>With a folder of its own for temporary files.</summary>
    public static async Task<Finished> RunAsync(string temporaryFolder, string[] arguments)
    {
        ProcessStartInfo start = new(Executable, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["TMPDIR"] = temporaryFolder;
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        using CancellationTokenSource limit = new(s_limit);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"godwit {string.Join(' ', arguments)} did not end within {s_limit.TotalMinutes} minutes");
        }
        return new Finished(process.ExitCode, await output, await errors);
    }

    /// <summary>Command lines of running processes that name a text.</summary>
    public static IReadOnlyList<string> WithArgument(string text)
    {
        List<string> found = [];
        foreach (string process in Directory.EnumerateDirectories("/proc").Where(folder => char.IsAsciiDigit(Path.GetFileName(folder)[0])))
        {
            try
            {
                string arguments = File.ReadAllText(Path.Combine(process, "cmdline")).Replace('\0', ' ');
                if (arguments.Contains(text, StringComparison.Ordinal))
                    found.Add(arguments);
            }
            catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
            {
                // It ended meanwhile, or is another user's.
            }
        }
        return found;
    }
}

/// <summary>How a process ended.</summary>
internal sealed record Finished(int ExitCode, string Output, string Errors);
