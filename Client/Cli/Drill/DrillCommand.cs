using System.CommandLine;
using Godwit.Cli.Drill.Failover;
using Godwit.Cli.Drill.Fleet;
using Godwit.Cli.Run;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Drill;

/// <summary>`godwit drill`: live migrations on a throw-away cluster, checked from the outside; its subcommands are other drills.</summary>
public static class DrillCommand
{
    public static Command Create()
    {
        Option<string> guest = new("--guest") { Description = "linux: Debian's kernel, then the built-in guest; builtin: the built-in guest only", DefaultValueFactory = _ => "linux" };
        Option<int> silos = new("--silos") { Description = "Silo processes", DefaultValueFactory = _ => 2 };
        Option<int> moves = new("--moves") { Description = "Moves of each guest, back and forth", DefaultValueFactory = _ => 2 };
        Option<string> memory = new("--memory") { Description = "RAM of each guest", DefaultValueFactory = _ => "256M" };
        Option<string> cpu = CpuOption.Create();
        Option<int> workingSet = new("--working-set") { Description = "MiB that the workload keeps rewriting", DefaultValueFactory = _ => 16 };
        Option<int> rate = new("--rate") { Description = "Pages that it rewrites a second", DefaultValueFactory = _ => 2000 };
        DrillOptions options = new("migrate", "lost-page", "double-run", "clock-back", "console-gap");
        Command command = new("drill", """
            Start a throw-away cluster here (the embedded store and silo processes), boot guests, migrate them back and forth
            while they work, check everything from the outside, and write a report. Exit code 0 only if every check held.

            Examples:
              godwit drill
              godwit drill --guest builtin --moves 20
              godwit drill --inject lost-page
            """)
        {
            guest, silos, moves, memory, cpu, workingSet, rate,
        };
        options.AddTo(command);
        command.Subcommands.Add(EvacuateDrill.Create());
        command.Subcommands.Add(RollingDrill.Create());
        command.Subcommands.Add(IdleDrill.Create());
        command.Subcommands.Add(FailoverDrill.Create());
        command.Subcommands.Add(ChaosDrill.Create());
        command.SetAction(async (parsed, cancellation) =>
        {
            string which = DrillOptions.OneOf("--guest", parsed.GetValue(guest)!, ["linux", "builtin"]);
            if (!MemorySize.TryParse(parsed.GetValue(memory)!, out long bytes))
                throw new UsageException($"--memory {parsed.GetValue(memory)}: write a size such as 256M");
            DrillSession session = options.Read(parsed);
            return await new DrillRunner
            {
                Session = session,
                Linux = which == "linux",
                Silos = DrillOptions.Between("--silos", parsed.GetValue(silos), 2, 8),
                Plan = new DrillPlan { Random = session.Random, Moves = DrillOptions.Between("--moves", parsed.GetValue(moves), 1, 10_000), Inject = session.Inject },
                Load = new DrillLoad(
                    bytes,
                    CpuOption.Parse(parsed.GetValue(cpu)!),
                    DrillOptions.Between("--working-set", parsed.GetValue(workingSet), 1, 1024),
                    DrillOptions.Between("--rate", parsed.GetValue(rate), 1, 1_000_000)),
            }.RunAsync(cancellation).ConfigureAwait(false);
        });
        return command;
    }
}
