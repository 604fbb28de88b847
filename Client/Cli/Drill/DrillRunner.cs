using Godwit.Cli.Guest;

namespace Godwit.Cli.Drill;

/// <summary>`godwit drill` alone: guests, one after the other, are moved back and forth.</summary>
internal sealed class DrillRunner
{
    public required DrillSession Session { get; init; }

    public required bool Linux { get; init; }

    public required int Silos { get; init; }

    public required DrillPlan Plan { get; init; }

    public required DrillLoad Load { get; init; }

    /// <summary>0 when every check held, else 1.</summary>
    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        Session.PrepareReport();
        // Fetched before anything runs: where it cannot be had, nothing has been started.
        LinuxGuest? images = Linux ? await DrillGuests.FetchAsync().ConfigureAwait(false) : null;
        DrillCluster cluster = await Session.StartClusterAsync(Silos, cancellation).ConfigureAwait(false);
        await using (cluster.ConfigureAwait(false))
        {
            foreach (GuestPlan guest in await PlansAsync(cluster, images, cancellation).ConfigureAwait(false))
            {
                (GuestRun run, IReadOnlyList<Check> held) = await new GuestDrill(cluster, guest, Plan, Session.Output).RunAsync(cancellation).ConfigureAwait(false);
                Session.Add(run);
                Session.Add(held);
            }
        }
        return await Session.FinishAsync(cancellation).ConfigureAwait(false);
    }

    private async Task<IReadOnlyList<GuestPlan>> PlansAsync(DrillCluster cluster, LinuxGuest? images, CancellationToken cancellation)
    {
        DrillGuests guests = new(Load);
        List<GuestPlan> plans = [];
        if (images is not null)
            plans.Add(await guests.LinuxAsync(cluster.Client, images, cancellation).ConfigureAwait(false));
        plans.Add(guests.BuiltinGuest(cooperating: false));
        plans.Add(guests.BuiltinGuest(cooperating: true));
        return plans;
    }
}
