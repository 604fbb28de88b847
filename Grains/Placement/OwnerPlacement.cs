using Godwit.Grains.Ownership;
using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Godwit.Grains.Placement;

/// <summary>Places a VM's grain beside its machine, and anywhere where it has none: nearness is speed only.</summary>
[Serializable]
public sealed class OwnerPlacement : PlacementStrategy
{
}

[AttributeUsage(AttributeTargets.Class)]
public sealed class OwnerPlacementAttribute() : PlacementAttribute(new OwnerPlacement());

/// <summary>Asks the ownership record, within a bound: a slow store must not hold up placement.</summary>
public sealed class OwnerPlacementDirector : IPlacementDirector
{
    private static readonly TimeSpan _limit = TimeSpan.FromSeconds(2);

    private readonly IOwnershipStore _store;

    public OwnerPlacementDirector(IOwnershipStore store) => _store = store;

    public async Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var silos = context.GetCompatibleSilos(target);
        var owner = await OwnerOf(target.GrainIdentity.Key.ToString()!);
        return Array.Find(silos, s => s.ToParsableString() == owner)
            ?? (silos.Contains(context.LocalSilo) ? context.LocalSilo : silos[0]);
    }

    private async Task<string?> OwnerOf(string vm)
    {
        try
        {
            using var limit = new CancellationTokenSource(_limit);
            return (await _store.ReadAsync(vm, limit.Token))?.Owner;
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }
}
