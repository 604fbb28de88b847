using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;

namespace Godwit.Cluster.Tests.Ownership;

/// <summary>The store's contract in memory, for tests of what is built on it under a clock of their own.</summary>
internal sealed class MemoryOwnershipStore : IOwnershipStore
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, (OwnershipRecord Record, VmDefinition Definition)> _vms = [];

    /// <summary>Every record that ever stood, in order.</summary>
    public List<OwnershipRecord> History { get; } = [];

    public Task WarmUpAsync(CancellationToken cancellation) => Task.CompletedTask;

    public Task<OwnershipRecord?> ReadAsync(string vm, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return Task.FromResult(_vms.TryGetValue(vm, out var found) ? found.Record : null);
        }
    }

    public Task<OwnershipConflict?> CompareExchangeAsync(string vm, string expectedVersion, OwnershipRecord next, CancellationToken cancellation)
    {
        lock (_lock)
        {
            if (!_vms.TryGetValue(vm, out var found))
            {
                return Task.FromResult<OwnershipConflict?>(new OwnershipConflict(null));
            }

            if (found.Record.Version != expectedVersion)
            {
                return Task.FromResult(found.Record.Version == next.Version ? null : new OwnershipConflict(found.Record));
            }

            _vms[vm] = (next, found.Definition);
            History.Add(next);
            return Task.FromResult<OwnershipConflict?>(null);
        }
    }

    public Task<bool> CreateAsync(string vm, VmDefinition definition, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return Task.FromResult(_vms.TryAdd(vm, (OwnershipRecord.Initial(), definition)));
        }
    }

    public Task<bool> DeleteAsync(string vm, string expectedVersion, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return Task.FromResult(_vms.TryGetValue(vm, out var found) && found.Record.Version == expectedVersion && _vms.Remove(vm));
        }
    }

    public Task<VmDefinition?> ReadDefinitionAsync(string vm, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return Task.FromResult(_vms.TryGetValue(vm, out var found) ? found.Definition : null);
        }
    }

    public Task<bool> ChangeDefinitionAsync(string vm, Func<VmDefinition, VmDefinition> change, CancellationToken cancellation)
    {
        lock (_lock)
        {
            if (_vms.TryGetValue(vm, out var found))
            {
                _vms[vm] = (found.Record, change(found.Definition));
                return Task.FromResult(true);
            }

            return Task.FromResult(false);
        }
    }

    public Task<IReadOnlyList<string>> ListAsync(CancellationToken cancellation)
    {
        lock (_lock)
        {
            return Task.FromResult<IReadOnlyList<string>>([.. _vms.Keys.Order(StringComparer.Ordinal)]);
        }
    }
}
