using System.CommandLine;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Drill;

/// <summary>`godwit drill`: live migrations on a throw-away cluster, checked from the outside.</summary>
public static class DrillCommand
{
    private static readonly string[] s_faults = ["lost-page", "double-run", "clock-back", "console-gap"];

    public static Command Create()
    {
        Option<string> guest = new("--guest") { Description = "linux: Debian's kernel, then the built-in guest; builtin: the built-in guest only", DefaultValueFactory = _ => "linux" };
        Option<int> silos = new("--silos") { Description = "Silo processes", DefaultValueFactory = _ => 2 };
        Option<int> moves = new("--moves") { Description = "Moves of each guest, back and forth", DefaultValueFactory = _ => 2 };
        Option<string> memory = new("--memory") { Description = "RAM of each guest", DefaultValueFactory = _ => "256M" };
        Option<int> workingSet = new("--working-set") { Description = "MiB that the workload keeps rewriting", DefaultValueFactory = _ => 16 };
        Option<int> rate = new("--rate") { Description = "Pages that it rewrites a second", DefaultValueFactory = _ => 2000 };
        Option<int?> seed = new("--seed") { Description = "Seed of what is drawn by lot (printed; default: drawn)" };
        Option<string> report = new("--report") { Description = "Folder for report.json, timeline.svg and console.log", DefaultValueFactory = _ => "drill-report" };
        Option<string> backend = new("--backend") { Description = "What executes guest code: interpreter, translator, or mixed (by turns from silo to silo)", DefaultValueFactory = _ => "interpreter" };
        Option<string?> inject = new("--inject") { Description = $"Plant a fault, so that the checks are seen to fail: {string.Join(", ", s_faults)}" };
        Option<bool> json = new("--json") { Description = "Print the report as one JSON line" };
        Command command = new("drill", """
            Start a throw-away cluster here (the embedded store and silo processes), boot guests, migrate them back and forth
            while they work, check everything from the outside, and write a report. Exit code 0 only if every check held.

            Examples:
              godwit drill
              godwit drill --guest builtin --moves 20
              godwit drill --inject lost-page
            """)
        {
            guest, silos, moves, memory, workingSet, rate, seed, backend, report, inject, json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            string which = OneOf("--guest", parsed.GetValue(guest)!, ["linux", "builtin"]);
            string? fault = parsed.GetValue(inject) is { } given ? OneOf("--inject", given, s_faults) : null;
            if (!MemorySize.TryParse(parsed.GetValue(memory)!, out long bytes))
                throw new UsageException($"--memory {parsed.GetValue(memory)}: write a size such as 256M");
            int drawn = parsed.GetValue(seed) ?? Random.Shared.Next();
            return await new DrillRunner
            {
                Linux = which == "linux",
                Silos = Between("--silos", parsed.GetValue(silos), 2, 8),
                Backend = new DrillBackend(OneOf("--backend", parsed.GetValue(backend)!, DrillBackend.Names)),
                Plan = new DrillPlan { Random = new Random(drawn), Moves = Between("--moves", parsed.GetValue(moves), 1, 10_000), Inject = fault },
                Load = new DrillLoad(
                    bytes,
                    Between("--working-set", parsed.GetValue(workingSet), 1, 1024),
                    Between("--rate", parsed.GetValue(rate), 1, 1_000_000)),
                Seed = drawn,
                ReportFolder = Path.GetFullPath(parsed.GetValue(report)!),
                Output = new DrillOutput(parsed.GetValue(json)),
            }.RunAsync(cancellation).ConfigureAwait(false);
        });
        return command;
    }

    private static string OneOf(string option, string value, string[] allowed) =>
        allowed.Contains(value) ? value : throw new UsageException($"{option} {value}: write one of {string.Join(", ", allowed)}");

    private static int Between(string option, int value, int least, int most) =>
        value >= least && value <= most ? value : throw new UsageException($"{option} {value}: write a number from {least} to {most}");
}
