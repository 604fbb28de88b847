using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm start</c></summary>
internal static class VmStart
{
    private static readonly Option<string?> _on = new("--on") { Description = "The silo to start on (default: the one that placement chooses)", HelpName = "SILO" };

    public static Command Create()
    {
        var command = new Command("start", """
            Boots a stopped VM, or one whose silo has died (after its lease has run out).

            Examples:
              godwit vm start web
              godwit vm start web --on b
            """)
        { ClusterOptions.VmName, _on };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
            var info = await vm.StartAsync(parsed.GetValue(_on), cancellation);
            output.Result(info, $"VM {vm.Name} runs on silo {info.Silo} (epoch {info.Epoch}).");
        });
        return command;
    }
}
