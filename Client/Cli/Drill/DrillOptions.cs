using System.CommandLine;
using Godwit.Engine.Machine;

namespace Godwit.Cli.Drill;

/// <summary>The options that every drill has, one set a command, and how their values are checked.</summary>
internal sealed class DrillOptions
{
    private readonly Option<int?> _seed = new("--seed") { Description = "Seed of what is drawn by lot (printed; default: drawn)" };
    private readonly Option<string> _report = new("--report") { Description = "Folder for report.json, timeline.svg and console.log", DefaultValueFactory = _ => "drill-report" };
    private readonly Option<string> _backend = new("--backend") { Description = "What executes guest code: interpreter, translator, or mixed (by turns from silo to silo)", DefaultValueFactory = _ => Backends.Default.ToString().ToLowerInvariant() };
    private readonly Option<string> _store = new("--store") { Description = "embedded, or redis: a redis-server of the drill's own (Debian's package)", DefaultValueFactory = _ => DrillStore.Embedded };
    private readonly Option<bool> _json = new("--json") { Description = "Print the report as one JSON line" };
    private readonly Option<string?> _inject;
    private readonly string _name;
    private readonly string[] _faults;

    /// <param name="name">The drill's name, as its report gives it.</param>
    /// <param name="faults">What <c>--inject</c> takes.</param>
    public DrillOptions(string name, params string[] faults)
    {
        _name = name;
        _faults = faults;
        _inject = new Option<string?>("--inject") { Description = $"Plant a fault, so that the checks are seen to fail: {string.Join(", ", faults)}" };
    }

    public void AddTo(Command command)
    {
        command.Options.Add(_seed);
        command.Options.Add(_backend);
        command.Options.Add(_store);
        command.Options.Add(_report);
        command.Options.Add(_inject);
        command.Options.Add(_json);
    }

    /// <summary>The drill that these options ask for; throws <see cref="UsageException"/>. Nothing is started or written yet.</summary>
    public DrillSession Read(ParseResult parsed) => new()
    {
        Name = _name,
        Inject = parsed.GetValue(_inject) is { } given ? OneOf("--inject", given, _faults) : null,
        Backend = new DrillBackend(OneOf("--backend", parsed.GetValue(_backend)!, DrillBackend.Names)),
        Store = OneOf("--store", parsed.GetValue(_store)!, [DrillStore.Embedded, DrillStore.Redis]),
        Seed = parsed.GetValue(_seed) ?? System.Random.Shared.Next(),
        ReportFolder = Path.GetFullPath(parsed.GetValue(_report)!),
        Output = new DrillOutput(parsed.GetValue(_json)),
    };

    public static string OneOf(string option, string value, string[] allowed) =>
        allowed.Contains(value) ? value : throw new UsageException($"{option} {value}: write one of {string.Join(", ", allowed)}");

    public static int Between(string option, int value, int least, int most) =>
        value >= least && value <= most ? value : throw new UsageException($"{option} {value}: write a number from {least} to {most}");
}
