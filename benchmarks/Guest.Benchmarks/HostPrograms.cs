using System.ComponentModel;
using System.Diagnostics;
using System.Text.RegularExpressions;
using Godwit.Cli.Guest;

namespace Godwit.Guest.Benchmarks;

/// <summary>
/// Dynamically linked programs of the host with their loader and libraries, for guests to have the same ones at the same
/// paths. Their C library chooses its routines by the processor that it finds.
/// </summary>
internal static partial class HostPrograms
{
    private const string Loader = "/lib64/ld-linux-x86-64.so.2";

    // Used by Programs/process_jobs.c.
    private static readonly string[] s_programs = ["bash", "head", "ls", "sort", "tail", "wc"];

    public static async Task<IReadOnlyList<InitramfsFile>> FilesAsync(CancellationToken cancellation)
    {
        SortedSet<string> paths = new(StringComparer.Ordinal) { Loader };
        foreach (string program in s_programs)
        {
            string path = $"/usr/bin/{program}";
            paths.Add(path);
            foreach (Match library in Library().Matches(await LibrariesAsync(path, cancellation).ConfigureAwait(false)))
                paths.Add(library.Groups[1].Value);
        }
        List<InitramfsFile> files = [];
        foreach (string path in paths)
            files.Add(new InitramfsFile(path[1..], await File.ReadAllBytesAsync(path, cancellation).ConfigureAwait(false), Executable: true));
        return files;
    }

    private static async Task<string> LibrariesAsync(string program, CancellationToken cancellation)
    {
        try
        {
            using Process loader = Process.Start(new ProcessStartInfo(Loader, ["--list", program]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            Task<string> errors = loader.StandardError.ReadToEndAsync(cancellation);
            string output = await loader.StandardOutput.ReadToEndAsync(cancellation).ConfigureAwait(false);
            string problem = await errors.ConfigureAwait(false);
            await loader.WaitForExitAsync(cancellation).ConfigureAwait(false);
            return loader.ExitCode == 0 ? output : throw new BenchmarkException($"the libraries of {program} cannot be found: {problem.Split('\n')[0]}");
        }
        catch (Win32Exception)
        {
            throw new BenchmarkException($"{Loader} cannot be run: the user suite takes programs of a Debian host with the GNU C library");
        }
    }

    [GeneratedRegex(@"=> (/\S+) \(0x")]
    private static partial Regex Library();
}
