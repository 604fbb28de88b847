using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Client;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm snapshot</c></summary>
internal static class VmSnapshot
{
    private static readonly Argument<FileInfo> _file = new("FILE") { Description = "Where to write the snapshot" };

    public static Command Create()
    {
        var command = new Command("snapshot", """
            Writes the whole VM to a file; the guest pauses while it is made and then runs on.

            Example:
              godwit vm snapshot web web.snapshot
            """)
        { ClusterOptions.VmName, _file };
        ClusterOptions.SetAction(command, RunAsync);
        return command;
    }

    private static async Task RunAsync(ParseResult parsed, GodwitClient client, Output output, CancellationToken cancellation)
    {
        var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
        var file = parsed.GetValue(_file)!;

        // Beside its place and then moved there: a half-written snapshot never has the name.
        var part = file.FullName + ".part";
        try
        {
            await using (var stream = new FileStream(part, FileMode.Create, FileAccess.Write))
            {
                await Progress.RunAsync(output, "snapshot", async report =>
                {
                    await vm.SnapshotAsync(stream, new Progress.Direct<(long Done, long Total)>(p => report(p.Done, p.Total)), cancellation);
                    return true;
                });
            }

            File.Move(part, file.FullName, overwrite: true);
        }
        finally
        {
            File.Delete(part);
        }

        file.Refresh();
        output.Result(new { vm = vm.Name, file = file.FullName, bytes = file.Length }, $"VM {vm.Name} is in {file} ({MemorySize.Format(file.Length)}).");
    }
}
