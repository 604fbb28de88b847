using Godwit.Access;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>What a cluster's store can be.</summary>
public enum StoreKind
{
    /// <summary>Garnet as <c>godwit store</c> runs it.</summary>
    Embedded,

    /// <summary>Debian's redis-server.</summary>
    Redis,
}

/// <summary>A store of either kind in a process of its own, which can be killed and started again on its data and port.</summary>
internal sealed class StoreServer : IAsyncDisposable
{
    private readonly StoreKind _kind;
    private readonly string _folder;
    private readonly int _port;
    private TestProcess? _embedded;
    private RedisServer? _redis;

    private StoreServer(StoreKind kind, string folder, TestProcess? embedded, RedisServer? redis)
    {
        _kind = kind;
        _folder = folder;
        _embedded = embedded;
        _redis = redis;
        _port = redis?.Port ?? int.Parse(embedded!.Ready.GetProperty("address").GetString()!.Split(':')[1]);
    }

    public string Address => $"127.0.0.1:{_port}";

    /// <summary>The way in; while it runs.</summary>
    public StoreLogin Login => StoreLogin.Find(_folder, Address)!;

    /// <param name="folder">The cluster folder; the store's data is in it.</param>
    public static async Task<StoreServer> StartAsync(StoreKind kind, string folder)
    {
        var (embedded, redis) = await LaunchAsync(kind, folder, port: 0);
        return new StoreServer(kind, folder, embedded, redis);
    }

    /// <summary>SIGKILL, and waits until it is gone.</summary>
    public async Task KillAsync()
    {
        if (_redis is not null)
        {
            await _redis.KillAsync();
        }
        else
        {
            _embedded!.Kill();
            await _embedded.WaitForExitAsync();
        }
    }

    public async Task StartAgainAsync()
    {
        await DisposeAsync();
        (_embedded, _redis) = await LaunchAsync(_kind, _folder, _port);
    }

    public async ValueTask DisposeAsync()
    {
        if (_embedded is not null)
        {
            await _embedded.DisposeAsync();
        }

        if (_redis is not null)
        {
            await _redis.DisposeAsync();
        }

        (_embedded, _redis) = (null, null);
    }

    private static async Task<(TestProcess? Embedded, RedisServer? Redis)> LaunchAsync(StoreKind kind, string folder, int port) => kind switch
    {
        StoreKind.Embedded => (await TestProcess.StartAsync("store", "--cluster", folder, "--port", port.ToString(), "--json"), null),
        StoreKind.Redis => (null, await RedisServer.StartAsync(Path.Combine(folder, "redis"), port)),
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };
}
