using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Terminal;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Cli.Commands;

/// <summary><c>godwit cluster status</c></summary>
internal static class ClusterStatusCommand
{
    public static Command Create()
    {
        var command = new Command("status", """
            Shows the silos with what they have and how busy they are, the store's health, and the migrations under way.

            Examples:
              godwit cluster status
              godwit cluster status --json
            """);
        ClusterOptions.SetAction(command, async (_, client, output, cancellation) =>
        {
            var status = await client.StatusAsync(cancellation);
            output.Result(status, () => Print(client.Store, status));
        });
        return command;
    }

    private static void Print(string store, ClusterStatus status)
    {
        Output.Table(
            ["silo", "state", "memory used", "free", "vCPUs", "busy", "VMs", "back end", "CPU levels", "labels", "protocol"],
            status.Silos.Select(Row));
        foreach (var migration in status.Migrations)
        {
            Output.Line($"VM {migration.Vm} is moving from silo {migration.SourceName} to silo {migration.TargetName}.");
        }

        List<StoreHealth> troubled = [.. status.Store.Where(s => s.Problem is not null)];
        Output.Line(
            status.Store.Count == 0 ? $"Store {store}: no silo tells."
            : troubled.Count > 0 ? $"Store {store}: {string.Join("; ", troubled.Select(s => $"to silo {s.Silo} it {s.Problem}"))}."
            : string.Create(CultureInfo.InvariantCulture, $"Store {store}: answers every silo, within {status.Store.Max(s => s.RoundTrip).TotalMilliseconds:0.0} ms."));
        if (Versions(status) is { } versions)
        {
            Output.Line(versions);
        }

        Output.Line(string.Create(CultureInfo.InvariantCulture, $"Spread {status.Spread * 100:0.0} % (0: all silos are used alike; \"godwit cluster rebalance --dry-run\" shows what would even them out)."));
    }

    private static string[] Row(SiloInfo silo)
    {
        if (silo.Host is not { } host)
        {
            return [silo.Name, silo.Status == "Active" ? "silent" : silo.Status, "-", "-", "-", "-", "-", "-", "-", "-", "-"];
        }

        var offer = host.Offer;
        return
        [
            silo.Name,
            host.Duty == HostDuty.Serving ? silo.Status : host.Duty.ToString(),
            MemorySize.Format(host.MemoryReserved),
            MemorySize.Format(host.MemoryCapacity - host.MemoryReserved),
            offer is null ? "-" : $"{offer.VcpusReserved} of {offer.Vcpus}",
            offer is null ? "-" : string.Create(CultureInfo.InvariantCulture, $"{offer.Load:0.00} on {offer.Cores}"),
            host.Vms.Count.ToString(CultureInfo.InvariantCulture),
            offer?.Backend ?? "-",
            offer is null ? "-" : string.Join(' ', offer.CpuLevels.Select(l => $"v{l}")),
            offer is null ? "-" : string.Join(' ', offer.Labels.Select(l => $"{l.Key}={l.Value}")),
            host.Protocol.ToString(),
        ];
    }

    /// <summary>Silos of more than one version are a replacement under way, or one that was forgotten.</summary>
    private static string? Versions(ClusterStatus status)
    {
        var versions = status.Silos.Select(s => s.Host).OfType<HostInfo>().GroupBy(h => h.Protocol.Current).OrderBy(g => g.Key).ToList();
        return versions.Count < 2 ? null : $"Silos of {versions.Count} protocol versions: {string.Join("; ", versions.Select(v => $"{v.Key} on {string.Join(", ", v.Select(h => h.Name))}"))}.";
    }
}
