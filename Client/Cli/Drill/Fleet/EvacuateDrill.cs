using System.CommandLine;
using System.Globalization;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Cli.Drill.Fleet;

/// <summary><c>godwit drill evacuate</c>: one of three silos is drained of all its guests while they work.</summary>
internal static class EvacuateDrill
{
    private const string StuckGuest = "stuck-guest";
    private const string ConsoleGap = "console-gap";

    public static Command Create()
    {
        FleetOptions fleet = new(guests: 20);
        DrillOptions options = new("evacuate", StuckGuest, ConsoleGap);
        Option<int> perSilo = new("--per-silo") { Description = "Migrations out of the silo at a time", DefaultValueFactory = _ => DrainRequest.DefaultPerSilo };
        Command command = new("evacuate", """
            Start three silos, put all guests on the first and drain it while they work. Checks that every guest goes on
            elsewhere with nothing lost, and that the silo holds nothing any more; measures the drain and the blackouts.

            Examples:
              godwit drill evacuate
              godwit drill evacuate --guests 50 --per-silo 4
              godwit drill evacuate --guest linux --cpu x86-64-v3
              godwit drill evacuate --inject stuck-guest
            """)
        { perSilo };
        fleet.AddTo(command);
        options.AddTo(command);
        command.SetAction(async (parsed, cancellation) => await RunAsync(
            options.Read(parsed),
            await fleet.ReadAsync(parsed).ConfigureAwait(false),
            new DrainRequest { PerSilo = DrillOptions.Between("--per-silo", parsed.GetValue(perSilo), 1, DrainRequest.MaxMoves), PerCluster = DrainRequest.MaxMoves },
            cancellation).ConfigureAwait(false));
        return command;
    }

    private static async Task<int> RunAsync(DrillSession session, FleetPlan plan, DrainRequest request, CancellationToken cancellation)
    {
        session.PrepareReport();
        DrillCluster cluster = await session.StartClusterAsync(3, cancellation).ConfigureAwait(false);
        await using (cluster.ConfigureAwait(false))
        {
            GuestFleet fleet = new(session, cluster, plan);
            await using (fleet.ConfigureAwait(false))
            {
                DrillSilo leaving = cluster.Silos[0];
                await fleet.StartAsync(leaving.Name, cancellation).ConfigureAwait(false);
                if (session.Inject == StuckGuest)
                    await fleet.Guests[0].Vm.PauseAsync(cancellation).ConfigureAwait(false);
                if (session.Inject == ConsoleGap)
                    await PlantedFault.MoveAsync(fleet.Guests[0], cluster.Silos[1].Name, ConsoleGap, cancellation).ConfigureAwait(false);
                await FleetDrain.RunAsync(session, cluster, leaving, request, cancellation).ConfigureAwait(false);
                if (session.Inject == StuckGuest)
                    await fleet.Guests[0].Vm.ResumeAsync(cancellation).ConfigureAwait(false);
                await fleet.CheckGoingAsync("go on elsewhere", cancellation).ConfigureAwait(false);
                ILookup<string?, WatchedGuest> where = await fleet.WhereAsync(cancellation).ConfigureAwait(false);
                session.Check(
                    $"no guest is on silo {leaving.Name}",
                    !where.Contains(leaving.Name) && !where.Contains(null),
                    GuestFleet.Describe(where));
                int left = leaving.Process.GuestMemories();
                session.Check($"silo {leaving.Name} released all copies", left == 0, string.Create(CultureInfo.InvariantCulture, $"{left} guest memories are left"));
                await fleet.FinishAsync(cancellation).ConfigureAwait(false);
            }
        }
        return await session.FinishAsync(cancellation).ConfigureAwait(false);
    }
}
