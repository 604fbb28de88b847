using System.Text.Json;
using System.Text.Json.Serialization;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using StackExchange.Redis;

namespace Godwit.Silo.Store;

/// <summary>
/// Ownership records as Redis hashes: field v is the record's version, o the record, d the VM's definition. Each change
/// is one Lua script, which the server runs alone; a script that finds its own version in place answers that it stands,
/// so asking again is harmless.
/// </summary>
public sealed class RedisOwnershipStore : IOwnershipStore
{
    private const string Names = "godwit:vms";

    private const string CompareExchange = """
        local v = redis.call('HGET', KEYS[1], 'v')
        if v == ARGV[2] then return {1} end
        if v == ARGV[1] then
          redis.call('HSET', KEYS[1], 'v', ARGV[2], 'o', ARGV[3])
          return {1}
        end
        local o = redis.call('HGET', KEYS[1], 'o')
        return {0, o}
        """;

    private const string Create = """
        local v = redis.call('HGET', KEYS[1], 'v')
        if v == ARGV[1] then return 1 end
        if v then return 0 end
        redis.call('HSET', KEYS[1], 'v', ARGV[1], 'o', ARGV[2], 'd', ARGV[3])
        redis.call('SADD', KEYS[2], ARGV[4])
        return 1
        """;

    private const string Delete = """
        local v = redis.call('HGET', KEYS[1], 'v')
        if not v then return 1 end
        if v ~= ARGV[1] then return 0 end
        redis.call('DEL', KEYS[1])
        redis.call('SREM', KEYS[2], ARGV[2])
        return 1
        """;

    private const string ChangeDefinition = """
        local d = redis.call('HGET', KEYS[1], 'd')
        if d == ARGV[2] then return 1 end
        if d ~= ARGV[1] then return 0 end
        redis.call('HSET', KEYS[1], 'd', ARGV[2])
        return 1
        """;

    private static readonly JsonSerializerOptions _json = new()
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter() },
    };

    private static readonly TimeSpan _pause = TimeSpan.FromMilliseconds(100);

    private readonly StoreConnection _store;

    public RedisOwnershipStore(StoreConnection store) => _store = store;

    /// <summary>
    /// Compiles the script on this connection ahead of its first use: that takes most of a second, and a migration's
    /// blackout is no place for it.
    /// </summary>
    public Task WarmUpAsync(CancellationToken cancellation) =>
        CompareExchangeAsync("", "none", OwnershipRecord.Initial(), cancellation);

    public async Task<OwnershipRecord?> ReadAsync(string vm, CancellationToken cancellation)
    {
        var text = await AskAsync(db => db.HashGetAsync(Key(vm), "o"), cancellation);
        return text.IsNull ? null : Decode<OwnershipRecord>(vm, text!);
    }

    public async Task<OwnershipConflict?> CompareExchangeAsync(string vm, string expectedVersion, OwnershipRecord next, CancellationToken cancellation)
    {
        var answer = await AskAsync(
            db => db.ScriptEvaluateAsync(CompareExchange, [Key(vm)], [expectedVersion, next.Version, JsonSerializer.Serialize(next, _json)]),
            cancellation);
        var parts = (RedisResult[])answer!;
        if ((int)parts[0] == 1)
        {
            return null;
        }

        return new OwnershipConflict(parts.Length < 2 || parts[1].IsNull ? null : Decode<OwnershipRecord>(vm, (string)parts[1]!));
    }

    public async Task<bool> CreateAsync(string vm, VmDefinition definition, CancellationToken cancellation)
    {
        var record = OwnershipRecord.Initial();
        var answer = await AskAsync(
            db => db.ScriptEvaluateAsync(Create, [Key(vm), Names], [record.Version, JsonSerializer.Serialize(record, _json), JsonSerializer.Serialize(definition, _json), vm]),
            cancellation);
        return (int)answer == 1;
    }

    public async Task<bool> DeleteAsync(string vm, string expectedVersion, CancellationToken cancellation) =>
        (int)await AskAsync(db => db.ScriptEvaluateAsync(Delete, [Key(vm), Names], [expectedVersion, vm]), cancellation) == 1;

    public async Task<VmDefinition?> ReadDefinitionAsync(string vm, CancellationToken cancellation)
    {
        var text = await AskAsync(db => db.HashGetAsync(Key(vm), "d"), cancellation);
        return text.IsNull ? null : Decode<VmDefinition>(vm, text!);
    }

    public async Task<bool> ChangeDefinitionAsync(string vm, Func<VmDefinition, VmDefinition> change, CancellationToken cancellation)
    {
        while (await AskAsync(db => db.HashGetAsync(Key(vm), "d"), cancellation) is { IsNull: false } text)
        {
            var next = JsonSerializer.Serialize(change(Decode<VmDefinition>(vm, text!)), _json);
            if ((int)await AskAsync(db => db.ScriptEvaluateAsync(ChangeDefinition, [Key(vm)], [text, next]), cancellation) == 1)
            {
                return true;
            }
        }

        return false;
    }

    public async Task<IReadOnlyList<string>> ListAsync(CancellationToken cancellation)
    {
        var names = await AskAsync(db => db.SetMembersAsync(Names), cancellation);
        return [.. names.Select(n => (string)n!).Order(StringComparer.Ordinal)];
    }

    private static RedisKey Key(string vm) => "godwit:vm:" + vm;

    private static T Decode<T>(string vm, string text)
    {
        try
        {
            return JsonSerializer.Deserialize<T>(text, _json) ?? throw new InvalidDataException($"The store's record of VM \"{vm}\" is empty.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"The store's record of VM \"{vm}\" cannot be read: {e.Message}", e);
        }
    }

    /// <summary>
    /// Asks until there is an answer. A lost connection or a time-out says nothing about what was done; nor does a question
    /// that the library cancels by itself, which it does with those that wait while it gives a connection up.
    /// </summary>
    private async Task<T> AskAsync<T>(Func<IDatabase, Task<T>> ask, CancellationToken cancellation)
    {
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _store.Closing);
        using var pause = new PeriodicTimer(_pause);
        while (true)
        {
            try
            {
                return await ask(_store.Database).WaitAsync(both.Token);
            }
            catch (Exception e) when (IsSilence(e) || (e is OperationCanceledException && !both.IsCancellationRequested))
            {
                await pause.WaitForNextTickAsync(both.Token);
            }
        }
    }

    /// <summary>A store that still reads its data in refuses every command, and has done nothing.</summary>
    private static bool IsSilence(Exception e) =>
        e is RedisTimeoutException or RedisConnectionException || (e is RedisServerException && e.Message.StartsWith("LOADING", StringComparison.Ordinal));
}
