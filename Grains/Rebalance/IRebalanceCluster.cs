using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Rebalance;

/// <summary>The cluster as a rebalance uses it.</summary>
public interface IRebalanceCluster
{
    /// <summary>As it is now.</summary>
    Task<ClusterView> LookAsync();

    /// <summary>
    /// Begins a live migration and returns its end; null where the cluster's limit on migrations is reached. Throws
    /// <see cref="ClusterException"/> where it is refused.
    /// </summary>
    Task<Task<MigrationUpdate>?> TryBeginAsync(PlannedMove move, int perCluster);
}
