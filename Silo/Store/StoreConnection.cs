using Godwit.Access;
using StackExchange.Redis;

namespace Godwit.Silo.Store;

/// <summary>The silo's own connection to the store, beside those that Orleans' providers keep.</summary>
public sealed class StoreConnection : IAsyncDisposable
{
    private readonly CancellationTokenSource _closing = new();

    private StoreConnection(ConnectionMultiplexer redis) => Redis = redis;

    public ConnectionMultiplexer Redis { get; }

    public IDatabase Database => Redis.GetDatabase();

    /// <summary>Cancelled when the silo goes down: ends questions whose answers nobody waits for any more.</summary>
    public CancellationToken Closing => _closing.Token;

    /// <summary>Throws <see cref="RedisConnectionException"/> where nothing answers at the address.</summary>
    public static async Task<StoreConnection> OpenAsync(StoreLogin login)
    {
        var options = Options(login);
        options.AbortOnConnectFail = true;
        return new StoreConnection(await ConnectionMultiplexer.ConnectAsync(options));
    }

    /// <summary>Short time-outs: what is unknown is asked again rather than waited for.</summary>
    public static ConfigurationOptions Options(StoreLogin login)
    {
        var options = login.Options();
        options.AbortOnConnectFail = false;
        options.ConnectTimeout = 2000;
        options.AsyncTimeout = 2000;
        options.SyncTimeout = 2000;
        options.KeepAlive = 5;
        options.ReconnectRetryPolicy = new LinearRetry(200);
        return options;
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync();
        await Redis.DisposeAsync();
        _closing.Dispose();
    }
}
