using Godwit.Client;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Cli.Drill.Fleet;

/// <summary>Drains a silo under a fleet, and takes the figures.</summary>
internal static class FleetDrain
{
    /// <summary>Returns what the drain reported; a drain that left a guest behind fails a check.</summary>
    public static async Task<DrainResult> RunAsync(DrillSession session, DrillCluster cluster, DrillSilo silo, DrainRequest request, CancellationToken cancellation)
    {
        session.Output.Say($"draining silo {silo.Name}");
        DrainHandle drain = await cluster.Client.DrainSiloAsync(silo.Address, request, cancellation).ConfigureAwait(false);
        await foreach (DrainStep step in drain.WatchAsync(0, cancellation).ConfigureAwait(false))
            session.Output.Progress(step.Message);
        DrainUpdate end = await drain.EndAsync(cancellation).ConfigureAwait(false);
        DrainResult result = end.Result!;
        session.Check(
            $"silo {silo.Name} was drained",
            end.Outcome == DrainOutcome.Done,
            result.Kept.Count == 0 ? $"{result.Moved.Count} guests moved, {end.Outcome}" : string.Join("; ", result.Kept.Select(kept => $"{kept.Name}: {kept.Reason}")));
        session.Figure($"drain of silo {silo.Name}, guests moved", result.Moved.Count);
        session.Figure($"drain of silo {silo.Name}, s", result.Total.TotalSeconds);
        if (result.Moved.Count > 0)
        {
            double[] blackouts = [.. result.Moved.Select(moved => moved.Blackout.TotalMilliseconds).Order()];
            session.Figure($"drain of silo {silo.Name}, median blackout, ms", blackouts[blackouts.Length / 2]);
            session.Figure($"drain of silo {silo.Name}, longest blackout, ms", result.LongestBlackout.TotalMilliseconds);
        }
        return result;
    }
}
