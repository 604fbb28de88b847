using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Grains.Hosts;

/// <summary>
/// One call at a time: asks the silos which VMs are leaving them and adds what was promised since. Nothing is kept that
/// the silos do not say again, so that a new activation counts on; a promise that no silo shows is forgotten in a while.
/// </summary>
public sealed class MigrationSlotsGrain : Grain, IMigrationSlotsGrain
{
    /// <summary>Longer than it takes to start a migration.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(30);

    private readonly Dictionary<(string Silo, string Vm), long> _promised = [];
    private readonly SiloDirectory _silos;
    private readonly TimeProvider _time;

    public MigrationSlotsGrain(SiloDirectory silos, TimeProvider time)
    {
        _silos = silos;
        _time = time;
    }

    public async Task<bool> TryTake(string siloAddress, string vm, int limit)
    {
        var leaving = (await _silos.HostsAsync())
            .SelectMany(h => h.Leaving.Select(v => (h.Address, v)))
            .ToHashSet();
        foreach (var (promise, since) in _promised.ToList())
        {
            if (!_silos.IsAlive(promise.Silo) || (!leaving.Contains(promise) && _time.GetElapsedTime(since) > _patience))
            {
                _promised.Remove(promise);
            }
        }

        leaving.UnionWith(_promised.Keys);
        leaving.Remove((siloAddress, vm));
        if (leaving.Count >= limit)
        {
            return false;
        }

        _promised[(siloAddress, vm)] = _time.GetTimestamp();
        return true;
    }

    public Task Release(string siloAddress, string vm)
    {
        _promised.Remove((siloAddress, vm));
        return Task.CompletedTask;
    }
}
