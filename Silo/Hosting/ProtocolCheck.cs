using System.Globalization;
using Godwit.Grains.Interfaces;
using Godwit.Silo.Store;
using Orleans.Runtime;
using StackExchange.Redis;

namespace Godwit.Silo.Hosting;

/// <summary>
/// Before a silo joins: it tells in the store which protocol versions it understands, and looks whether the live silos
/// understand one of them too.
/// </summary>
internal static class ProtocolCheck
{
    /// <summary>A hash: a silo's address to its oldest and current version, with a blank between them.</summary>
    private const string Key = "godwit:protocol";

    /// <summary>Throws <see cref="IOException"/> with one line where a live silo understands no version that this one does.</summary>
    public static async Task RequireAsync(IServiceProvider services, CancellationToken cancellation)
    {
        var here = services.GetRequiredService<Machines.SiloIdentity>();
        var store = services.GetRequiredService<StoreConnection>().Database;
        var table = services.GetRequiredService<IMembershipTable>();
        await table.InitializeMembershipTableAsync(tryInitTableVersion: true, cancellation);
        var members = (await table.ReadAllAsync(cancellation)).Members.Select(m => m.Item1).ToList();
        var told = (await store.HashGetAllAsync(Key)).ToDictionary(e => (string)e.Name!, e => Read(e.Value));
        foreach (var other in members.Where(m => m.Status == SiloStatus.Active))
        {
            var range = told.GetValueOrDefault(other.SiloAddress.ToParsableString()) ?? ProtocolRange.First;
            if (!range.FitsWith(here.Protocol))
            {
                throw new IOException($"Silo {other.SiloName} of the cluster understands protocol {range} and this one {here.Protocol}: silos are replaced by those of the next version, one after the other.");
            }
        }

        // What the dead have told is of no use any more.
        var dead = members.Where(m => m.Status == SiloStatus.Dead).Select(m => (RedisValue)m.SiloAddress.ToParsableString()).Where(a => told.ContainsKey(a!)).ToArray();
        if (dead.Length > 0)
        {
            await store.HashDeleteAsync(Key, dead);
        }

        await store.HashSetAsync(Key, here.Address, string.Create(CultureInfo.InvariantCulture, $"{here.Protocol.Oldest} {here.Protocol.Current}"));
    }

    private static ProtocolRange? Read(RedisValue value) =>
        ((string?)value)?.Split(' ') is [var oldest, var current]
        && int.TryParse(oldest, NumberStyles.None, CultureInfo.InvariantCulture, out var first)
        && int.TryParse(current, NumberStyles.None, CultureInfo.InvariantCulture, out var last)
            ? new ProtocolRange(last, first)
            : null;
}
