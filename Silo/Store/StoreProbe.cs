using System.Diagnostics;
using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Silo.Machines;
using StackExchange.Redis;

namespace Godwit.Silo.Store;

/// <summary>Asks the store whether it answers this silo.</summary>
internal sealed class StoreProbe(StoreConnection store, SiloIdentity silo) : IStoreProbe
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(2);

    public async Task<StoreHealth> AskAsync()
    {
        var asked = Stopwatch.GetTimestamp();
        string? problem = null;
        try
        {
            await store.Database.PingAsync().WaitAsync(_limit);
        }
        catch (Exception e) when (e is RedisException or TimeoutException or OperationCanceledException)
        {
            problem = $"does not answer within {_limit.TotalSeconds:0} s; guests run on until their leases end";
        }

        return new StoreHealth { Silo = silo.Name, Problem = problem, RoundTrip = Stopwatch.GetElapsedTime(asked) };
    }
}
