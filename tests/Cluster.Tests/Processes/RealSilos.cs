using Godwit.Access;
using Godwit.Client;
using Xunit;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>A store of either kind and two silos "a" and "b" as the real executable runs them, with 256 MiB each for guests.</summary>
internal sealed class RealSilos : IAsyncDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly List<TestProcess> _processes = [];
    private StoreServer? _store;

    public GodwitClient Client { get; private set; } = null!;

    private static string Executable => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Silo", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Silo"));

    public static async Task<RealSilos> StartAsync(StoreKind kind)
    {
        var silos = new RealSilos();
        try
        {
            await silos.LaunchAsync(kind);
            return silos;
        }
        catch (Exception)
        {
            await silos.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (Client is not null)
        {
            await Client.DisposeAsync();
        }

        foreach (var process in Enumerable.Reverse(_processes))
        {
            await process.DisposeAsync();
        }

        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private async Task LaunchAsync(StoreKind kind)
    {
        _store = await StoreServer.StartAsync(kind, _folder);
        _processes.AddRange(await Task.WhenAll(new[] { "a", "b" }.Select(name =>
            TestProcess.StartAsync(Executable, ["silo", "--cluster", _folder, "--store", _store.Address, "--name", name, "--memory", "256M", "--json"]))));
        Client = await GodwitClient.ConnectAsync(ClusterAccess.Open(_folder, _store.Address));
        await Eventually.HoldsAsync("two silos are active", async () => (await Client.SilosAsync()).Count(s => s.Host is not null) == 2);
    }
}

/// <summary>Such a cluster on each kind of store, made when a test first asks for it.</summary>
public sealed class RealClusters : IAsyncLifetime
{
    private readonly Dictionary<StoreKind, RealSilos> _clusters = [];

    /// <param name="asked">Null: what the environment asks for.</param>
    public async Task<GodwitClient> ClientAsync(StoreKind? asked = null)
    {
        var kind = asked ?? StoreServer.DefaultKind;
        if (!_clusters.TryGetValue(kind, out var cluster))
        {
            _clusters[kind] = cluster = await RealSilos.StartAsync(kind);
        }

        return cluster.Client;
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var cluster in _clusters.Values)
        {
            await cluster.DisposeAsync();
        }
    }
}
