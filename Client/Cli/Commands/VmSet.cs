using System.CommandLine;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm set</c>: changes what can be changed of a VM while it runs.</summary>
internal static class VmSet
{
    private static readonly RestartOptions _restart = new();

    public static Command Create()
    {
        var command = new Command("set", """
            Changes a VM's restart policy: what becomes of it when its silo dies, freezes or is cut off.

            Examples:
              godwit vm set web --restart checkpoint --checkpoint-every 5
              godwit vm set web --restart none
            """)
        { ClusterOptions.VmName };
        _restart.AddTo(command);
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var policy = _restart.Read(parsed) ?? throw new UsageException("Nothing to change: give --restart.");
            var vm = client.Vm(parsed.GetValue(ClusterOptions.VmName)!);
            await vm.SetRestartAsync(policy, cancellation);
            output.Result(new { vm = vm.Name, restart = policy }, $"VM {vm.Name}: when its silo is lost: {policy}.");
        });
        return command;
    }
}
