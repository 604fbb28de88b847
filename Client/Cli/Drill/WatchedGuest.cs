using Godwit.Client;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill;

/// <summary>
/// A guest that works while a drill does something to the cluster under it: its console is read from its first byte on, its
/// run intervals are collected from the silos, and at the end both are checked.
/// </summary>
internal sealed class WatchedGuest : IAsyncDisposable
{
    private readonly Dictionary<(string Silo, long Epoch, long Started), (string Name, long? Stopped)> _runs = [];
    private readonly ConsoleCollector _console;
    private long _ticksPerSecond = 1_000_000_000;

    private WatchedGuest(GuestPlan plan, Vm vm)
    {
        Plan = plan;
        Vm = vm;
        _console = new ConsoleCollector(vm);
    }

    public GuestPlan Plan { get; }

    public Vm Vm { get; }

    public string Name => Plan.Name;

    /// <summary>Tick lines so far.</summary>
    public int TickCount => _console.TickCount;

    /// <summary>Creates and starts the VM (on a silo, or where the cluster puts it) and begins to read its console.</summary>
    public static async Task<WatchedGuest> StartAsync(DrillCluster cluster, GuestPlan plan, string? silo, CancellationToken cancellation)
    {
        Vm vm = cluster.Client.Vm(plan.VmName);
        await vm.CreateAsync(plan.Definition, cancellation).ConfigureAwait(false);
        await vm.StartAsync(silo, cancellation).ConfigureAwait(false);
        return new WatchedGuest(plan, vm);
    }

    /// <summary>Waits until it has said so many ticks more than a count; false when the time is up or its console has ended.</summary>
    public Task<bool> GoesOnAsync(int since, int more, TimeSpan limit, CancellationToken cancellation) =>
        _console.WaitForTicksAsync(since + more, limit, cancellation);

    /// <summary>The largest gap in the guest's own clock since a number of ticks, in milliseconds; null where it has reported none.</summary>
    public double? LargestGapSince(int ticks) => _console.LargestGapSince(ticks);

    /// <summary>Asks the live silos when they ran it, and keeps what they say: a silo takes its memory of it along when it ends.</summary>
    public async Task CollectRunsAsync(CancellationToken cancellation)
    {
        RunHistory history = await Vm.RunsAsync(cancellation).ConfigureAwait(false);
        _ticksPerSecond = history.TicksPerSecond;
        foreach (Grains.Interfaces.Vms.RunInterval run in history.Intervals)
            _runs[(run.SiloAddress, run.Epoch, run.Started)] = (run.SiloName, run.Stopped);
    }

    /// <summary>Stops the guest, takes it off the cluster and adds what it proves to the drill.</summary>
    public async Task FinishAsync(DrillSession session, CancellationToken cancellation)
    {
        (GuestRun run, IReadOnlyList<Check> checks) = await EndAsync(cancellation).ConfigureAwait(false);
        session.Add(checks);
        session.Add(run);
    }

    /// <summary>Stops the guest, takes it off the cluster and says what it proves. A guest that is lost fails a check of its own.</summary>
    public async Task<(GuestRun Run, IReadOnlyList<Check> Checks)> EndAsync(CancellationToken cancellation)
    {
        Check there = await LeaveAsync(cancellation).ConfigureAwait(false);
        GuestConsole said = await _console.StopAsync().ConfigureAwait(false);
        List<RunInterval> intervals = [.. _runs.Select(run => new RunInterval(Plan.VmName, run.Value.Name, run.Key.Epoch, Nanoseconds(run.Key.Started), run.Value.Stopped is { } stop ? Nanoseconds(stop) : null))];
        List<Check> checks =
        [
            there,
            .. ConsoleChecks.Run(Name, said),
            new Check($"{Name}: console offsets follow one another", _console.Gap is null, _console.Gap ?? $"{said.Bytes.Length} bytes"),
            MigrationChecks.OneRunner(Name, intervals),
        ];
        return (new GuestRun(Name, Plan.VmName, said.Bytes, [], intervals), checks);
    }

    public ValueTask DisposeAsync() => _console.DisposeAsync();

    private async Task<Check> LeaveAsync(CancellationToken cancellation)
    {
        string name = $"{Name}: not lost";
        try
        {
            VmInfo info = await Vm.ShowAsync(cancellation).ConfigureAwait(false);
            if (info.State != VmState.Stopped)
                await Vm.StopAsync(cancellation).ConfigureAwait(false);
            await CollectRunsAsync(cancellation).ConfigureAwait(false);
            await Vm.DeleteAsync(cancellation).ConfigureAwait(false);
            return info.State is VmState.Lost or VmState.Stopped
                ? new Check(name, false, $"it is {info.State}: {info.Reason ?? $"silo {info.Silo} is gone"}")
                : new Check(name, true, $"{info.State} on silo {info.Silo} at the end");
        }
        catch (GodwitException refused)
        {
            return new Check(name, false, refused.Message);
        }
    }

    private long Nanoseconds(long ticks) => (long)(ticks * (1e9 / _ticksPerSecond));
}
