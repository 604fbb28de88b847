using System.CommandLine;
using Godwit.Cli.Terminal;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit silo list</c></summary>
internal static class SiloList
{
    private static readonly Option<bool> _all = new("--all") { Description = "Also those that have left or died" };

    public static Command Create()
    {
        var command = new Command("list", """
            Lists the cluster's silos: whether they take VMs, memory for guests, VMs, data ports.

            Examples:
              godwit silo list
              godwit silo list --all --json
            """)
        { _all };
        ClusterOptions.SetAction(command, async (parsed, client, output, cancellation) =>
        {
            var silos = await client.SilosAsync(parsed.GetValue(_all), cancellation);
            if (output.Json)
            {
                foreach (var silo in silos)
                {
                    Output.Object(silo);
                }

                return;
            }

            Output.Table(
                ["silo", "status", "memory reserved", "of", "VMs", "touched", "data port", "process"],
                silos.Select(s => new[]
                {
                    s.Name,
                    s.Host is { Duty: not HostDuty.Serving } d ? d.Duty.ToString() : s.Status,
                    s.Host is { } h ? MemorySize.Format(h.MemoryReserved) : "-",
                    s.Host is { } c ? MemorySize.Format(c.MemoryCapacity) : "-",
                    s.Host is { } v ? string.Join(' ', v.Vms.Select(m => m.Name)) : "-",
                    s.Host is { } t ? MemorySize.Format(t.Vms.Sum(m => m.ResidentBytes)) : "-",
                    s.Host?.DataEndpoint ?? "-",
                    s.Host?.ProcessId.ToString() ?? "-",
                }));
        });
        return command;
    }
}
