using System.Net;
using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Access.Roles;
using Godwit.Client;
using Xunit;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>An authority, a store, two silos "a" and "b" with its certificates on loopback, and clients of each role; made once.</summary>
public sealed class AuthorityCluster : IAsyncLifetime
{
    private static readonly TimeSpan _day = TimeSpan.FromDays(1);

    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly List<TestProcess> _processes = [];
    private StoreServer? _store;
    private readonly Dictionary<ClusterRole, GodwitClient> _clients = [];

    public ClusterAuthority Authority { get; private set; } = null!;

    /// <summary>Where silo "a" takes clients.</summary>
    public string Gateway { get; private set; } = "";

    internal TestProcess SiloA => _processes[0];

    public string FolderOf(string name) => Path.Combine(_folder, name);

    public async Task<GodwitClient> ClientAsync(ClusterRole role)
    {
        if (!_clients.TryGetValue(role, out var client))
        {
            _clients[role] = client = await GodwitClient.ConnectAsync(AccessOf(role.ToString(), role));
        }

        return client;
    }

    /// <summary>A folder as a client of that role is given.</summary>
    public ClusterAccess AccessOf(string name, ClusterRole role, TimeSpan? life = null)
    {
        OwnerFile.CreateFolder(FolderOf(name));
        Authority.IssueClient(name, role, life ?? _day).Write(Path.Combine(FolderOf(name), Identity.FileName));
        return ClusterAccess.Open(FolderOf(name), gateways: [Gateway]);
    }

    public async Task InitializeAsync()
    {
        Authority = ClusterAuthority.Init(_folder, TimeProvider.System);
        _store = await StoreServer.StartAsync(_folder);
        OwnerFile.Write(FolderOf("password"), ClusterSecret.TryRead(_folder)!.StorePassword, replace: false);
        _processes.AddRange(await Task.WhenAll(new[] { "a", "b" }.Select(name => StartSiloAsync(name, _store.Address))));
        Gateway = SiloA.Ready.GetProperty("gateway").GetString()!;
        var admin = await ClientAsync(ClusterRole.Admin);
        await Eventually.HoldsAsync("two silos are active", async () => (await admin.SilosAsync()).Count(s => s.Host is not null) == 2);
    }

    public async Task DisposeAsync()
    {
        foreach (var client in _clients.Values)
        {
            await client.DisposeAsync();
        }

        foreach (var process in Enumerable.Reverse(_processes))
        {
            await process.DisposeAsync();
        }

        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private Task<TestProcess> StartSiloAsync(string name, string store)
    {
        OwnerFile.CreateFolder(FolderOf(name));
        Authority.IssueSilo(name, [IPAddress.Loopback], _day).Write(Path.Combine(FolderOf(name), Identity.FileName));
        return TestProcess.StartAsync("silo", "--cluster", FolderOf(name), "--store", store, "--store-password-file", FolderOf("password"), "--memory", "1G", "--json");
    }
}
