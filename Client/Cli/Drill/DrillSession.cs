using Godwit.Cli.Commands;

namespace Godwit.Cli.Drill;

/// <summary>One drill from its options to its report: what it was told, what it found, and how it ends.</summary>
internal sealed class DrillSession
{
    private readonly DateTimeOffset _started = DateTimeOffset.UtcNow;
    private readonly List<Check> _checks = [];
    private readonly List<GuestRun> _guests = [];
    private readonly Dictionary<string, double> _figures = [];
    private Random? _random;

    public required string Name { get; init; }

    /// <summary>A fault to plant; null: none.</summary>
    public required string? Inject { get; init; }

    public required DrillBackend Backend { get; init; }

    /// <summary>A kind of <see cref="DrillStore"/>.</summary>
    public required string Store { get; init; }

    public required int Seed { get; init; }

    public required string ReportFolder { get; init; }

    public required DrillOutput Output { get; init; }

    /// <summary>Everything that is drawn by lot comes from here, so that a seed repeats it.</summary>
    public Random Random => _random ??= new Random(Seed);

    /// <summary>A report that cannot be written is better known now than after the drill.</summary>
    public void PrepareReport() => Directory.CreateDirectory(ReportFolder);

    /// <summary>A throw-away cluster of this many silos.</summary>
    public Task<DrillCluster> StartClusterAsync(int silos, CancellationToken cancellation, params string[] siloOptions)
    {
        Output.Say($"starting {(Store == DrillStore.Redis ? "redis-server" : "the store")} and {silos} silos (seed {Seed})");
        return DrillCluster.StartAsync(silos, Store, Backend, ServerProcess.Find(), cancellation, siloOptions);
    }

    public void Check(string name, bool held, string detail) => _checks.Add(new Check(name, held, detail));

    public void Add(IEnumerable<Check> checks) => _checks.AddRange(checks);

    public void Add(GuestRun guest) => _guests.Add(guest);

    /// <summary>A measured number for the report.</summary>
    public void Figure(string name, double value) => _figures[name] = value;

    /// <summary>Writes the report and says how it went: 0 when every check held, else 1.</summary>
    public async Task<int> FinishAsync(CancellationToken cancellation)
    {
        DrillReport report = new()
        {
            Name = Name,
            Started = _started,
            Seconds = Output.Elapsed.TotalSeconds,
            Seed = Seed,
            Injected = Inject,
            Passed = _checks.Count > 0 && _checks.TrueForAll(check => check.Held),
            Checks = _checks,
            Figures = _figures,
            Migrations = [.. _guests.SelectMany(guest => guest.Migrations)],
            RunIntervals = [.. _guests.SelectMany(guest => guest.Intervals)],
        };
        await DrillReportWriter.WriteAsync(ReportFolder, report, _guests, cancellation).ConfigureAwait(false);
        Output.Summary(report.Migrations);
        Output.Checks(report, ReportFolder);
        return report.Passed ? 0 : 1;
    }
}
