using Godwit.Client;

namespace Godwit.Cli.Drill;

/// <summary>A throw-away cluster: the embedded store and silos as processes of their own, in a folder of its own.</summary>
internal sealed class DrillCluster : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("godwit-drill-").FullName;
    private readonly List<DrillSilo> _silos = [];
    private DrillProcess? _store;

    private DrillCluster()
    {
    }

    public GodwitClient Client { get; private set; } = null!;

    public IReadOnlyList<DrillSilo> Silos => _silos;

    public static async Task<DrillCluster> StartAsync(int silos, DrillBackend backend, string executable, CancellationToken cancellation)
    {
        DrillCluster cluster = new();
        try
        {
            cluster._store = await DrillProcess.StartAsync(executable, ["store", "--cluster", cluster._folder, "--json"], cancellation).ConfigureAwait(false);
            string address = cluster._store.Ready.GetProperty("address").GetString()!;
            for (int i = 0; i < silos; i++)
            {
                string name = ((char)('A' + i)).ToString();
                DrillProcess process = await DrillProcess.StartAsync(
                    executable, ["silo", "--cluster", cluster._folder, "--store", address, "--name", name, "--drain-timeout", "0", "--backend", backend.Of(i), "--json"], cancellation).ConfigureAwait(false);
                cluster._silos.Add(new DrillSilo(name, process));
            }
            cluster.Client = await GodwitClient.ConnectAsync(address, cancellation: cancellation).ConfigureAwait(false);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Client is not null)
            await Client.DisposeAsync().ConfigureAwait(false);
        await Task.WhenAll(_silos.Select(silo => silo.Process.DisposeAsync().AsTask())).ConfigureAwait(false);
        if (_store is not null)
            await _store.DisposeAsync().ConfigureAwait(false);
        Directory.Delete(_folder, recursive: true);
    }
}

/// <summary>A silo of the drill's cluster.</summary>
internal sealed record DrillSilo(string Name, DrillProcess Process);
