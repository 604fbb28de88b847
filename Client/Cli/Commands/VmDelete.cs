using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm delete</c></summary>
internal static class VmDelete
{
    public static Command Create()
    {
        var command = new Command("delete", """
            Forgets a stopped VM.

            Example:
              godwit vm delete web
            """)
        { ClusterOptions.VmName };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
            await vm.DeleteAsync(cancellation);
            output.Result(new { vm = vm.Name, done = "delete" }, $"VM {vm.Name} is deleted.");
        });
        return command;
    }
}
