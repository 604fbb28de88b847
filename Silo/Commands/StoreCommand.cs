using System.CommandLine;
using System.Text.Json;
using Godwit.Grains.Interfaces;
using Godwit.Silo.Hosting;
using Godwit.Silo.Store;

namespace Godwit.Silo.Commands;

/// <summary><c>godwit store</c>: the embedded store in the foreground until SIGTERM or Ctrl-C.</summary>
internal static class StoreCommand
{
    public static Command Create()
    {
        var data = new Option<string?>("--data") { Description = "Folder for the store's files (default: store/ in the cluster folder)", HelpName = "DIR" };
        var port = new Option<int>("--port") { Description = "Loopback port (default: a free one)", HelpName = "P" };
        var background = new Option<bool>("--background") { Description = "Leave Ctrl-C to others: end on SIGTERM only", Hidden = true };
        port.Validators.Add(PortRule.Check);
        var command = new Command("store", """
            Runs the embedded store (Garnet) that silos and clients of this cluster folder find.

            Examples:
              godwit store
              godwit store --port 6379 --data /var/lib/godwit
            """)
        { data, port, CommonOptions.Cluster, CommonOptions.Json, background };
        command.SetAction((parsed, cancellation) => RunAsync(
            new ClusterFolder(parsed.GetValue(CommonOptions.Cluster)!),
            parsed.GetValue(data),
            parsed.GetValue(port),
            parsed.GetValue(CommonOptions.Json),
            parsed.GetValue(background),
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ClusterFolder folder, string? data, int port, bool json, bool background, CancellationToken cancellation)
    {
        using var alone = folder.TryHoldStore() ?? throw new IOException($"A store runs already in {folder.Path}{(folder.ReadStore() is { } other ? $" (at {other.Address}, process {other.Pid})" : "")}.");
        using var signals = new StopSignals(ignoreInterrupt: background, cancellation);
        using var store = EmbeddedStore.Start(data ?? folder.DataPath, port != 0 ? port : FreePort.Find(), folder.Secret().StorePassword);
        var note = new StoreNote(store.Address, Environment.ProcessId);
        folder.WriteStore(note);
        try
        {
            await Console.Out.WriteLineAsync(json
                ? JsonSerializer.Serialize(new { ready = true, address = note.Address, pid = note.Pid }, JsonSerializerOptions.Web)
                : $"store ready at {note.Address} (process {note.Pid})");
            await signals.Stopped;
        }
        finally
        {
            folder.RemoveStore(note);
        }

        return 0;
    }
}
