using System.CommandLine;
using System.Diagnostics;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill.Fleet;

/// <summary><c>godwit drill rolling</c>: three silos are replaced one after the other under guests that work.</summary>
internal sealed class RollingDrill(DrillSession session, FleetPlan plan)
{
    private const int Silos = 3;
    private const string KilledSilo = "killed-silo";
    private const string ConsoleGap = "console-gap";

    /// <summary>A guest that begins when all silos are new.</summary>
    private const int Newcomer = 1000;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    public static Command Create()
    {
        FleetOptions fleet = new(guests: 10);
        DrillOptions options = new("rolling", KilledSilo, ConsoleGap);
        Command command = new("rolling", """
            Start three silos with guests on them, and replace each silo: drain it, end it, start a new one of its name.
            Checks that no guest and no console byte is lost and that new silos are used at once; measures drains and blackouts.

            Examples:
              godwit drill rolling
              godwit drill rolling --guests 30 --backend mixed
              godwit drill rolling --inject killed-silo
            """);
        fleet.AddTo(command);
        options.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
            await new RollingDrill(options.Read(parsed), await fleet.ReadAsync(parsed).ConfigureAwait(false)).RunAsync(cancellation).ConfigureAwait(false));
        return command;
    }

    private async Task<int> RunAsync(CancellationToken cancellation)
    {
        session.PrepareReport();
        DrillCluster cluster = await session.StartClusterAsync(Silos, cancellation, "--drain-timeout", "120", "--failure-detection", "2", "--lease", "4").ConfigureAwait(false);
        await using (cluster.ConfigureAwait(false))
        {
            GuestFleet fleet = new(session, cluster, plan);
            await using (fleet.ConfigureAwait(false))
            {
                await fleet.StartAsync(silo: null, cancellation).ConfigureAwait(false);
                ILookup<string?, WatchedGuest> where = await fleet.WhereAsync(cancellation).ConfigureAwait(false);
                session.Check("every silo has guests", plan.Count < Silos || cluster.Silos.All(silo => where.Contains(silo.Name)), GuestFleet.Describe(where));
                if (session.Inject == ConsoleGap)
                    await PlantedFault.MoveAsync(where[cluster.Silos[0].Name].First(), cluster.Silos[1].Name, ConsoleGap, cancellation).ConfigureAwait(false);
                long started = Stopwatch.GetTimestamp();
                List<double> blackouts = [];
                foreach (DrillSilo old in cluster.Silos.ToArray())
                {
                    blackouts.AddRange(await ReplaceAsync(cluster, fleet, old, killed: session.Inject == KilledSilo && old.Name == "B", cancellation).ConfigureAwait(false));
                    if (session.Inject == KilledSilo && old.Name == "B")
                        break;
                    await fleet.CheckGoingAsync($"go on after silo {old.Name} was replaced", cancellation).ConfigureAwait(false);
                }
                session.Figure("replacement of all silos, s", Stopwatch.GetElapsedTime(started).TotalSeconds);
                session.Figure("longest blackout, ms", blackouts.DefaultIfEmpty().Max());
                await CheckNewcomerAsync(cluster, cancellation).ConfigureAwait(false);
                await fleet.FinishAsync(cancellation).ConfigureAwait(false);
            }
        }
        return await session.FinishAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>Blackouts in milliseconds.</summary>
    private async Task<IEnumerable<double>> ReplaceAsync(DrillCluster cluster, GuestFleet fleet, DrillSilo old, bool killed, CancellationToken cancellation)
    {
        if (killed)
        {
            old.Process.Signal("KILL");
            await cluster.EndSiloAsync(old, cancellation).ConfigureAwait(false);
            await cluster.AddSiloAsync(old.Name, cancellation).ConfigureAwait(false);
            return [];
        }
        DrainResult drained = await FleetDrain.RunAsync(session, cluster, old, new DrainRequest(), cancellation).ConfigureAwait(false);
        await fleet.CollectRunsAsync(cancellation).ConfigureAwait(false);
        int exitCode = await cluster.EndSiloAsync(old, cancellation).ConfigureAwait(false);
        session.Check($"silo {old.Name} ended in good order", exitCode == 0, $"exit code {exitCode}");
        DrillSilo fresh = await cluster.AddSiloAsync(old.Name, cancellation).ConfigureAwait(false);
        session.Check($"silo {old.Name} is a new process", fresh.Address != old.Address, fresh.Address);
        return drained.Moved.Select(moved => moved.Blackout.TotalMilliseconds);
    }

    /// <summary>The silo that was replaced last is empty; a new guest goes there by itself.</summary>
    private async Task CheckNewcomerAsync(DrillCluster cluster, CancellationToken cancellation)
    {
        WatchedGuest newcomer = await WatchedGuest.StartAsync(cluster, plan.Guests.FleetGuest(Newcomer), silo: null, cancellation).ConfigureAwait(false);
        await using (newcomer.ConfigureAwait(false))
        {
            bool going = await newcomer.GoesOnAsync(0, 1, s_limit, cancellation).ConfigureAwait(false);
            VmInfo info = await newcomer.Vm.ShowAsync(cancellation).ConfigureAwait(false);
            string expected = cluster.Silos[^1].Name;
            session.Check("a new silo is used at once", going && info.Silo == expected, $"a new guest runs on silo {info.Silo}, the latest is {expected}");
            await newcomer.EndAsync(cancellation).ConfigureAwait(false);
        }
    }
}
