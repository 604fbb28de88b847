using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Client;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm restore</c></summary>
internal static class VmRestore
{
    private static readonly Argument<FileInfo> _file = new("FILE") { Description = "The snapshot" };
    private static readonly Option<string?> _on = new("--on") { Description = "The silo to restore on (default: the one that placement chooses)", HelpName = "SILO" };
    private static readonly Option<bool> _resume = new("--resume") { Description = "Let it run at once" };

    public static Command Create()
    {
        var command = new Command("restore", """
            Brings a stopped VM up as a snapshot of it holds it; paused, unless --resume is given.

            Examples:
              godwit vm restore web web.snapshot
              godwit vm restore web web.snapshot --resume --on b
            """)
        { ClusterOptions.VmName, _file, _on, _resume };
        ClusterOptions.SetAction(command, RunAsync);
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, GodwitClient client, Output output, CancellationToken cancellation)
    {
        var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
        var file = parsed.GetValue(_file)!;
        if (!file.Exists)
        {
            throw new GodwitException(ClusterError.Invalid, $"{file} cannot be read: there is no such file.");
        }

        await using var stream = file.OpenRead();
        await Progress.RunAsync(output, "uploading snapshot", async report =>
        {
            await vm.RestoreAsync(stream, parsed.GetValue(_on), new Progress.Direct<long>(done => report(done, file.Length)), cancellation);
            return true;
        });
        if (parsed.GetValue(_resume))
        {
            await vm.ResumeAsync(cancellation);
        }

        var info = await vm.ShowAsync(cancellation);
        output.Result(info, $"VM {vm.Name} is restored on silo {info.Silo}, {(parsed.GetValue(_resume) ? "and runs" : $"paused; let it run with \"godwit vm resume {vm.Name}\"")}.");
    }
}
