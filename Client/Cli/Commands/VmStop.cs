using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm stop</c></summary>
internal static class VmStop
{
    public static Command Create()
    {
        var command = new Command("stop", """
            Ends a VM's guest, as pulling the plug would; its definition stays.

            Example:
              godwit vm stop web
            """)
        { ClusterOptions.VmName };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
            await vm.StopAsync(cancellation);
            output.Result(new { vm = vm.Name, done = "stop" }, $"VM {vm.Name} is stopped.");
        });
        return command;
    }
}
