using Godwit.Cli.Commands;
using Godwit.Cli.Guest;

namespace Godwit.Cli.Drill;

/// <summary>Carries a drill out from the first process to the report.</summary>
internal sealed class DrillRunner
{
    public required bool Linux { get; init; }

    public required int Silos { get; init; }

    public required DrillBackend Backend { get; init; }

    public required DrillPlan Plan { get; init; }

    public required DrillLoad Load { get; init; }

    public required int Seed { get; init; }

    public required string ReportFolder { get; init; }

    public required DrillOutput Output { get; init; }

    /// <summary>0 when every check held, else 1.</summary>
    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        DateTimeOffset started = DateTimeOffset.UtcNow;
        // A report that cannot be written is better known now than after the drill.
        Directory.CreateDirectory(ReportFolder);
        // Fetched before anything runs: where it cannot be had, nothing has been started.
        LinuxGuest? images = Linux ? await DrillGuests.FetchAsync().ConfigureAwait(false) : null;
        Output.Say($"starting the store and {Silos} silos (seed {Seed})");
        List<GuestRun> runs = [];
        List<Check> checks = [];
        DrillCluster cluster = await DrillCluster.StartAsync(Silos, Backend, ServerProcess.Find(), cancellation).ConfigureAwait(false);
        await using (cluster.ConfigureAwait(false))
        {
            foreach (GuestPlan guest in await PlansAsync(cluster, images, cancellation).ConfigureAwait(false))
            {
                (GuestRun run, IReadOnlyList<Check> held) = await new GuestDrill(cluster, guest, Plan, Output).RunAsync(cancellation).ConfigureAwait(false);
                runs.Add(run);
                checks.AddRange(held);
            }
        }
        DrillReport report = new()
        {
            Name = "migrate",
            Started = started,
            Seconds = Output.Elapsed.TotalSeconds,
            Seed = Seed,
            Injected = Plan.Inject,
            Passed = checks.TrueForAll(check => check.Held),
            Checks = checks,
            Migrations = [.. runs.SelectMany(run => run.Migrations)],
            RunIntervals = [.. runs.SelectMany(run => run.Intervals)],
        };
        await DrillReportWriter.WriteAsync(ReportFolder, report, runs, cancellation).ConfigureAwait(false);
        Output.Summary(report.Migrations);
        Output.Checks(report, ReportFolder);
        return report.Passed ? 0 : 1;
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
