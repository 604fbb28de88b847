using Godwit.Grains.Interfaces;
using Orleans.Placement;
using Orleans.Runtime;
using Orleans.Runtime.Placement;

namespace Godwit.Grains.Placement;

/// <summary>Places a host grain on the silo that its key names.</summary>
[Serializable]
public sealed class HostPlacement : PlacementStrategy
{
}

[AttributeUsage(AttributeTargets.Class)]
public sealed class HostPlacementAttribute() : PlacementAttribute(new HostPlacement());

/// <summary>The silo of the key, or a refusal: never another one.</summary>
public sealed class HostPlacementDirector : IPlacementDirector
{
    public Task<SiloAddress> OnAddActivation(PlacementStrategy strategy, PlacementTarget target, IPlacementContext context)
    {
        var key = target.GrainIdentity.Key.ToString()!;
        foreach (var silo in context.GetCompatibleSilos(target))
        {
            if (silo.ToParsableString() == key)
            {
                return Task.FromResult(silo);
            }
        }

        throw new ClusterException(ClusterError.Unavailable, $"Silo {key} is gone.");
    }
}
