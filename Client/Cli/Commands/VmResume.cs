using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm resume</c></summary>
internal static class VmResume
{
    public static Command Create()
    {
        var command = new Command("resume", """
            Lets a paused VM run on.

            Example:
              godwit vm resume web
            """)
        { ClusterOptions.VmName };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
            await vm.ResumeAsync(cancellation);
            output.Result(new { vm = vm.Name, done = "resume" }, $"VM {vm.Name} runs on.");
        });
        return command;
    }
}
