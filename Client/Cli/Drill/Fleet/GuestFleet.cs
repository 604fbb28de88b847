using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill.Fleet;

/// <summary>Many small guests that work while something is done to the silos under them; checked like any guest, and told of together.</summary>
internal sealed class GuestFleet(DrillSession session, DrillCluster cluster, FleetPlan plan) : IAsyncDisposable
{
    private const int StartedAtOnce = 4;
    private const int Ticks = 3;
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(120);

    private readonly List<WatchedGuest> _guests = [];

    public IReadOnlyList<WatchedGuest> Guests => _guests;

    /// <summary>Starts guests, on a silo or where the cluster puts them, and waits until all of them work.</summary>
    public async Task StartAsync(string? silo, CancellationToken cancellation)
    {
        session.Output.Say($"starting {plan.Count} guests{(silo is null ? "" : $" on silo {silo}")}");
        foreach (int[] batch in Enumerable.Range(1, plan.Count).Chunk(StartedAtOnce))
            _guests.AddRange(await Task.WhenAll(batch.Select(number => StartAsync(number, silo, cancellation))).ConfigureAwait(false));
        await CheckGoingAsync("workload came up", cancellation).ConfigureAwait(false);
    }

    private async Task<WatchedGuest> StartAsync(int number, string? silo, CancellationToken cancellation) =>
        await WatchedGuest.StartAsync(cluster, await plan.GuestAsync(cluster.Client, number, cancellation).ConfigureAwait(false), silo, cancellation).ConfigureAwait(false);

    /// <summary>Waits until each guest has said something more, and checks that it has.</summary>
    public async Task CheckGoingAsync(string what, CancellationToken cancellation)
    {
        bool[] going = await Task.WhenAll(_guests.Select(guest => guest.GoesOnAsync(guest.TickCount, Ticks, s_limit, cancellation))).ConfigureAwait(false);
        string[] silent = [.. _guests.Zip(going).Where(pair => !pair.Second).Select(pair => pair.First.Name)];
        session.Check($"{_guests.Count} guests: {what}", silent.Length == 0, silent.Length == 0 ? "all report" : $"no report within {s_limit.TotalSeconds:0} s from {string.Join(", ", silent)}");
    }

    /// <summary>How many guests run on each silo, by its name.</summary>
    public async Task<ILookup<string?, WatchedGuest>> WhereAsync(CancellationToken cancellation)
    {
        VmInfo[] infos = await Task.WhenAll(_guests.Select(guest => guest.Vm.ShowAsync(cancellation))).ConfigureAwait(false);
        return _guests.Zip(infos).ToLookup(pair => pair.Second.State == VmState.Running ? pair.Second.Silo : null, pair => pair.First);
    }

    /// <summary>As checks tell it.</summary>
    public static string Describe(ILookup<string?, WatchedGuest> where) =>
        string.Join(", ", where.OrderBy(silo => silo.Key, StringComparer.Ordinal).Select(silo => $"{silo.Key ?? "nowhere"}: {silo.Count()}"));

    /// <summary>Keeps what the live silos know of the guests' runs, before one of them ends.</summary>
    public Task CollectRunsAsync(CancellationToken cancellation) =>
        Task.WhenAll(_guests.Select(guest => guest.CollectRunsAsync(cancellation)));

    /// <summary>Ends all guests; each check is told once for all of them, with those that failed it.</summary>
    public async Task FinishAsync(CancellationToken cancellation)
    {
        session.Output.Say($"stopping {_guests.Count} guests");
        double[] gaps = [.. _guests.Select(guest => guest.LargestGapSince(0)).OfType<double>()];
        if (gaps.Length > 0)
            session.Figure("largest gap that a guest saw, ms", gaps.Max());
        (GuestRun Run, IReadOnlyList<Check> Checks)[] ends = await Task.WhenAll(_guests.Select(guest => guest.EndAsync(cancellation))).ConfigureAwait(false);
        foreach ((GuestRun run, _) in ends)
            session.Add(run);
        foreach (IGrouping<string, Check> same in ends.SelectMany(end => end.Checks).GroupBy(check => check.Name[(check.Name.IndexOf(": ", StringComparison.Ordinal) + 2)..]))
        {
            Check[] failed = [.. same.Where(check => !check.Held)];
            session.Check(
                $"{_guests.Count} guests: {same.Key}",
                failed.Length == 0,
                failed.Length == 0 ? $"all {same.Count()}" : string.Join("; ", failed.Select(check => $"{check.Name[..check.Name.IndexOf(": ", StringComparison.Ordinal)]}: {check.Detail}")));
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (WatchedGuest guest in _guests)
            await guest.DisposeAsync().ConfigureAwait(false);
    }
}
