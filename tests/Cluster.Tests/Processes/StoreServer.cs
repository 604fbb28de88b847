using Godwit.Access;
using Godwit.Grains.Interfaces;
using Godwit.Silo.Store;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>What a cluster's store can be.</summary>
public enum StoreKind
{
    /// <summary>Garnet as <c>godwit store</c> runs it.</summary>
    Embedded,

    /// <summary>Debian's redis-server.</summary>
    Redis,
}

/// <summary>
/// A store of either kind in a process of its own, which can be killed and started again on its data and port. Silos and
/// clients of its cluster folder find it there, with its password.
/// </summary>
internal sealed class StoreServer : IAsyncDisposable
{
    /// <summary>"embedded" (the default) or "redis": what the tests run on that ask for no kind.</summary>
    public const string KindVariable = "GODWIT_TEST_STORE";

    private readonly StoreKind _kind;
    private readonly string _folder;
    private readonly int _port;
    private readonly FileStream? _hold;
    private TestProcess? _embedded;
    private RedisServer? _redis;

    private StoreServer(StoreKind kind, string folder, FileStream? hold, TestProcess? embedded, RedisServer? redis)
    {
        _kind = kind;
        _folder = folder;
        _hold = hold;
        _embedded = embedded;
        _redis = redis;
        _port = redis?.Port ?? int.Parse(embedded!.Ready.GetProperty("address").GetString()!.Split(':')[1]);
    }

    public static StoreKind DefaultKind { get; } = Environment.GetEnvironmentVariable(KindVariable) switch
    {
        null or "" or "embedded" => StoreKind.Embedded,
        "redis" => StoreKind.Redis,
        var other => throw new InvalidOperationException($"{KindVariable}={other}: write embedded or redis."),
    };

    public string Address => $"127.0.0.1:{_port}";

    /// <summary>The way in; while it runs.</summary>
    public StoreLogin Login => StoreLogin.Find(_folder, Address)!;

    /// <summary>A store of the kind that the environment asks for.</summary>
    public static Task<StoreServer> StartAsync(string folder) => StartAsync(DefaultKind, folder);

    /// <param name="folder">The cluster folder; the store's data is in it.</param>
    public static async Task<StoreServer> StartAsync(StoreKind kind, string folder)
    {
        // As the embedded store does itself: no other is started in the folder meanwhile.
        var hold = kind == StoreKind.Redis ? new ClusterFolder(folder).TryHoldStore() ?? throw new InvalidOperationException($"A store runs already in {folder}.") : null;
        var (embedded, redis) = await LaunchAsync(kind, folder, port: 0);
        return new StoreServer(kind, folder, hold, embedded, redis);
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
        await EndAsync();
        (_embedded, _redis) = await LaunchAsync(_kind, _folder, _port);
    }

    public async ValueTask DisposeAsync()
    {
        await EndAsync();
        if (_hold is not null)
        {
            await _hold.DisposeAsync();
        }
    }

    private async Task EndAsync()
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
        StoreKind.Redis => (null, await LaunchRedisAsync(new ClusterFolder(folder), port)),
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };

    private static async Task<RedisServer> LaunchRedisAsync(ClusterFolder folder, int port)
    {
        var redis = await RedisServer.StartAsync(Path.Combine(folder.Path, "redis"), port, folder.Secret().StorePassword);
        folder.WriteStore(new StoreNote($"127.0.0.1:{redis.Port}", redis.Id));
        return redis;
    }
}
