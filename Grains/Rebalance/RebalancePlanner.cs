using Godwit.Grains.Hosts;
using Godwit.Grains.Placement;

namespace Godwit.Grains.Rebalance;

/// <summary>
/// Plans moves one by one: of all that the rules allow, the one that lowers the spread most, as long as it lowers it by
/// enough to be worth a migration. A VM moves once at most, so that a plan has an end.
/// </summary>
public static class RebalancePlanner
{
    /// <summary>What a move must take off the spread: load is a measurement, and half a percent of a silo is noise.</summary>
    public const double LeastGain = 0.005;

    public static IReadOnlyList<PlannedMove> Plan(ClusterView cluster)
    {
        List<PlannedMove> moves = [];
        HashSet<string> moved = [];
        while (Best(cluster, moved) is { } move)
        {
            moves.Add(move);
            moved.Add(move.Vm.Name);
            cluster = cluster.With(move.Vm, move.From.Address, move.To.Address);
        }

        return moves;
    }

    /// <summary>Whether a move would still be allowed, and lower the spread by enough; otherwise why not, in one line.</summary>
    public static string? Objection(ClusterView cluster, PlannedMove move)
    {
        if (cluster.Vms.FirstOrDefault(p => p.Vm.Name == move.Vm.Name) is not { } placed || placed.Silo != move.From.Address)
        {
            return $"it does not run on silo {move.From.Name} any more";
        }

        if (cluster.Find(move.To.Address) is not { } target)
        {
            return $"silo {move.To.Name} takes no VMs any more";
        }

        return PlacementRules.Refusal(placed.Vm, target) is { } refusal ? $"silo {move.To.Name} {refusal}"
            : cluster.With(placed.Vm, placed.Silo, target.Address).Spread > cluster.Spread - LeastGain ? "it would not even out the silos any more"
            : null;
    }

    private static PlannedMove? Best(ClusterView cluster, HashSet<string> moved)
    {
        var most = cluster.Spread - LeastGain;
        return cluster.Vms
            .Where(p => !moved.Contains(p.Vm.Name))
            .SelectMany(p => cluster.Silos
                .Where(s => s.Address != p.Silo && PlacementRules.Refusal(p.Vm, s) is null)
                .Select(s => new PlannedMove(p.Vm, Ref(cluster.Find(p.Silo)!), Ref(s), cluster.With(p.Vm, p.Silo, s.Address).Spread)))
            .Where(m => m.Spread <= most)
            .OrderBy(m => m.Spread)
            .ThenBy(m => m.Vm.Name, StringComparer.Ordinal)
            .ThenBy(m => m.To.Name, StringComparer.Ordinal)
            .FirstOrDefault();
    }

    private static SiloRef Ref(SiloRoom silo) => new(silo.Name, silo.Address);
}
