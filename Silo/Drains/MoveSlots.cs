using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Silo.Machines;

namespace Godwit.Silo.Drains;

/// <summary>This silo's side of the cluster's limit on migrations.</summary>
internal sealed class MoveSlots(IGrainFactory grains, SiloIdentity silo)
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(10);

    private IMigrationSlotsGrain Slots => grains.GetGrain<IMigrationSlotsGrain>(0);

    /// <summary>False where the limit is reached, or the answer is not known: it is asked again.</summary>
    public async Task<bool> TryTakeAsync(string vm, int limit)
    {
        try
        {
            return await Slots.TryTake(silo.Address, vm, limit).WaitAsync(_limit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException or ClusterException)
        {
            return false;
        }
    }

    public async Task ReleaseAsync(string vm)
    {
        try
        {
            await Slots.Release(silo.Address, vm).WaitAsync(_limit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException or ClusterException)
        {
            // Forgotten by itself, once no migration of that VM is seen.
        }
    }
}
