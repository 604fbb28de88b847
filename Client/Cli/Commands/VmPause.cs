using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm pause</c></summary>
internal static class VmPause
{
    public static Command Create()
    {
        var command = new Command("pause", """
            Pauses a running VM where it stands.

            Example:
              godwit vm pause web
            """)
        { ClusterOptions.VmName };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
            await vm.PauseAsync(cancellation);
            output.Result(new { vm = vm.Name, done = "pause" }, $"VM {vm.Name} is paused.");
        });
        return command;
    }
}
