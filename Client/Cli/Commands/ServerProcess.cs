using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Godwit.Client;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit store</c> and <c>godwit silo</c> are the silo executable's; this finds it and hands over.</summary>
internal static class ServerProcess
{
    public static Command StoreCommand() => Forward("store", "Runs the embedded store (see \"godwit store --help\").");

    public static Command SiloCommand() => Forward("silo", "Runs a silo (see \"godwit silo --help\"); lists, drains and takes back the cluster's.");

    /// <summary>The silo executable: beside this one in a build or an installation. Throws <see cref="GodwitException"/> where it is missing.</summary>
    public static string Find()
    {
        var here = AppContext.BaseDirectory;
        string[] places =
        [
            Path.Combine(here, "Godwit.Silo"),
            Path.Combine(here, "..", "Silo", "Godwit.Silo"),
            Path.Combine(here, "..", "..", "Silo", Path.GetFileName(Path.TrimEndingDirectorySeparator(here)), "Godwit.Silo"),
        ];
        return places.Select(Path.GetFullPath).FirstOrDefault(File.Exists)
            ?? throw new GodwitException(ClusterError.NotFound, $"The silo executable is missing: it is looked for at {string.Join(", ", places.Select(Path.GetFullPath))}.");
    }

    private static Command Forward(string name, string description)
    {
        var rest = new Argument<string[]>("OPTIONS") { Arity = ArgumentArity.ZeroOrMore, Description = "Its options", Hidden = true };
        var command = new Command(name, description) { rest };
        command.TreatUnmatchedTokensAsErrors = false;
        command.SetAction(async (parsed, cancellation) => await RunAsync([name, .. parsed.GetValue(rest) ?? [], .. parsed.UnmatchedTokens]));
        return command;
    }

    private static async Task<int> RunAsync(string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(Find(), arguments)) ?? throw new GodwitException(ClusterError.Failed, "The silo executable could not be started.");

        // Ctrl-C reaches the child by itself, SIGTERM does not; either way its end is waited for.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, c => c.Cancel = true);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, c =>
        {
            c.Cancel = true;
            using var kill = Process.Start("kill", ["-TERM", process.Id.ToString()]);
        });
        await process.WaitForExitAsync();
        return process.ExitCode;
    }
}
