using Godwit.Access;
using Godwit.Client;
using Xunit;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>A store process, two silo processes "a" and "b", and a client; made once for the tests that leave them whole.</summary>
public sealed class TwoSilos : IAsyncLifetime
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly List<TestProcess> _processes = [];

    public GodwitClient Client { get; private set; } = null!;

    public string Store { get; private set; } = "";

    public string Folder => _folder;

    /// <summary>For one more client.</summary>
    public ClusterAccess Access => ClusterAccess.Open(_folder, Store);

    internal TestProcess Silo(string name) => _processes.First(p => !p.HasExited && p.Ready.TryGetProperty("name", out var n) && n.GetString() == name);

    internal string AddressOf(string name) => Silo(name).Ready.GetProperty("address").GetString()!;

    public async Task InitializeAsync()
    {
        var store = await TestProcess.StartAsync("store", "--cluster", _folder, "--json");
        _processes.Add(store);
        Store = store.Ready.GetProperty("address").GetString()!;
        var silos = await Task.WhenAll(StartSiloAsync("a"), StartSiloAsync("b"));
        Client = await GodwitClient.ConnectAsync(Access);
        await Eventually.HoldsAsync("two silos are active", async () => (await Client.SilosAsync()).Count(s => s.Host is not null) == 2);
    }

    /// <summary>One more silo: 1 GiB for guests, a lease of 2 s, dead after 2 s.</summary>
    internal async Task<TestProcess> StartSiloAsync(string name, string memory = "1G", params string[] more)
    {
        var silo = await TestProcess.StartAsync(["silo", "--cluster", _folder, "--name", name, "--memory", memory, "--lease", "2", "--failure-detection", "2", "--json", .. more]);
        lock (_processes)
        {
            _processes.Add(silo);
        }

        return silo;
    }

    /// <summary>A fresh VM's name.</summary>
    public static string NewName() => $"vm-{Guid.NewGuid():N}"[..20];

    public async Task DisposeAsync()
    {
        if (Client is not null)
        {
            await Client.DisposeAsync();
        }

        foreach (var process in Enumerable.Reverse(_processes))
        {
            await process.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }
}

/// <summary>The tests that share one cluster.</summary>
[CollectionDefinition(Name)]
public sealed class TwoSilosCollection : ICollectionFixture<TwoSilos>
{
    public const string Name = "two silos";
}
