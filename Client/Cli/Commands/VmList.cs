using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit vm list</c></summary>
internal static class VmList
{
    public static Command Create()
    {
        var command = new Command("list", "Lists the cluster's VMs and where they run.");
        ClusterOptions.SetAction(command, async (_, client, output, cancellation) =>
        {
            var vms = await client.VmsAsync(cancellation);
            if (output.Json)
            {
                foreach (var vm in vms)
                {
                    Output.Object(vm);
                }

                return;
            }

            Output.Table(
                ["VM", "state", "silo", "memory", "epoch"],
                vms.Select(v => new[] { v.Name, v.State.ToString(), v.Silo ?? "-", MemorySize.Format(v.MemoryBytes), v.Epoch.ToString() }));
        });
        return command;
    }
}
