using System.Diagnostics;
using Godwit.Client;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill.Failover;

/// <summary>The chaos itself: three silos, each with its own way to the store, and guests that are looked at all the time.</summary>
internal sealed class ChaosRun(DrillSession session, DrillCluster cluster) : IAsyncDisposable
{
    public const int Silos = 3;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan s_leftLimit = TimeSpan.FromSeconds(20);

    private const int MostPlantedMoves = 20;

    private readonly List<ChaosSilo> _silos = [];
    private readonly List<TrackedGuest> _guests = [];
    private readonly List<double> _recoveries = [];
    private int _failedStarts;

    public async Task StartAsync(DrillGuests guests, int count, CancellationToken cancellation)
    {
        for (int i = 0; i < Silos; i++)
            _silos.Add(new ChaosSilo(((char)('A' + i)).ToString(), new StoreLink(cluster.StoreAddress)));
        foreach (ChaosSilo silo in _silos)
            silo.Silo = await cluster.AddSiloBehindAsync(silo.Name, silo.Link.Address, cancellation).ConfigureAwait(false);
        await cluster.MeetAsync(cancellation).ConfigureAwait(false);
        session.Output.Say($"starting {count} guests with checkpoints every second");
        RestartPolicy policy = new() { Mode = RestartMode.Checkpoint, CheckpointEvery = TimeSpan.FromSeconds(1) };
        for (int number = 1; number <= count; number++)
        {
            GuestPlan plan = guests.FleetGuest(number);
            // Overlapping for a moment only, it must tick in that moment to be caught.
            string more = number == 1 && session.Inject == ChaosDrill.DoubleRun ? " interval=1" : "";
            TrackedGuest guest = new(cluster.Client.Vm(plan.VmName));
            await guest.Vm.CreateAsync(plan.Definition with { Restart = policy, CommandLine = plan.Definition.CommandLine + more }, cancellation).ConfigureAwait(false);
            await guest.Vm.StartAsync(null, cancellation).ConfigureAwait(false);
            _guests.Add(guest);
        }
        bool ready = await Watch.UntilAsync(async () =>
        {
            await CollectAsync(cancellation).ConfigureAwait(false);
            return _guests.TrueForAll(guest => guest.LastTick > 3) && (await ShowAsync(cancellation).ConfigureAwait(false)).All(info => info.Checkpoint is { Number: >= 2 });
        }, s_limit, cancellation).ConfigureAwait(false);
        session.Check($"{count} guests: came up and have checkpoints", ready, ready ? "all" : $"not within {s_limit.TotalSeconds:0} s");
    }

    /// <summary>One step and all its checks; false where one did not hold: what comes after would prove nothing.</summary>
    public async Task<bool> StepAsync(ChaosStep step, CancellationToken cancellation)
    {
        ChaosSilo silo = _silos[step.Silo], other = _silos[step.Other];
        session.Output.Say(step.Describe(silo.Name, other.Name));
        if (step.Number == 1 && session.Inject is not null)
            await PlantAsync(session.Inject, silo, cancellation).ConfigureAwait(false);
        Task moving = step.Guest is { } guest ? MoveAsync(_guests[guest], other.Name, cancellation) : Task.CompletedTask;
        await PassAsync(step.Guest is null ? TimeSpan.Zero : step.Before, cancellation).ConfigureAwait(false);
        long disturbed = Stopwatch.GetTimestamp();
        Dictionary<TrackedGuest, long> epochs = _guests.ToDictionary(g => g, g => g.Epoch);
        await DisturbAsync(step, silo, other, cancellation).ConfigureAwait(false);
        long healed = Stopwatch.GetTimestamp();
        await moving.ConfigureAwait(false);
        bool going = await Watch.UntilAsync(async () =>
        {
            await CollectAsync(cancellation).ConfigureAwait(false);
            await ReplaceAsync(cancellation).ConfigureAwait(false);
            return _guests.TrueForAll(g => g.TickedSince(healed));
        }, s_limit, cancellation).ConfigureAwait(false);
        if (step.What is Disturbance.Kill or Disturbance.KillTwo)
            _recoveries.AddRange(_guests.Where(g => g.Epoch > epochs[g]).Select(g => g.RanAbove(epochs[g])).OfType<long>().Where(at => at > disturbed).Select(at => Stopwatch.GetElapsedTime(disturbed, at).TotalSeconds));
        string? problem = (going ? null : $"no tick within {s_limit.TotalSeconds:0} s from {string.Join(", ", _guests.Where(g => !g.TickedSince(healed)).Select(g => g.Name))}")
            ?? await FindProblemAsync(cancellation).ConfigureAwait(false)
            ?? await FindLeftAsync(cancellation).ConfigureAwait(false);
        session.Check($"step {step.Number}", problem is null, $"{step.Describe(silo.Name, other.Name)}: {problem ?? "held"}");
        return problem is null;
    }

    /// <summary>Stops the guests and reads what they have to say themselves.</summary>
    public async Task FinishAsync(bool held, CancellationToken cancellation)
    {
        if (_recoveries.Count > 0)
        {
            session.Figure("takeovers after kills", _recoveries.Count);
            session.Figure("from kill to running, median, s", _recoveries.Order().ElementAt(_recoveries.Count / 2));
            session.Figure("from kill to running, longest, s", _recoveries.Max());
        }
        session.Figure("silos that had to be started twice", _failedStarts);
        if (!held)
            return;
        foreach (TrackedGuest guest in _guests)
        {
            GuestConsole console = await ConsoleTail.ReadAsync(guest.Vm, cancellation).ConfigureAwait(false);
            session.Add(ConsoleChecks.Run(guest.Name, console).Where(check => !check.Name.Contains("keeps pace", StringComparison.Ordinal)));
            await guest.Vm.StopAsync(cancellation).ConfigureAwait(false);
            await guest.Vm.DeleteAsync(cancellation).ConfigureAwait(false);
            int files = cluster.CheckpointFiles(guest.Name);
            session.Check($"{guest.Name}: no checkpoint file is left", files == 0, $"{files} files");
        }
        int memories = _silos.Sum(silo => silo.Silo!.Process.GuestMemories());
        session.Check("no guest memory is left", memories == 0, $"{memories} memfds");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ChaosSilo silo in _silos)
        {
            // A frozen process would not hear SIGTERM.
            if (silo.Silo is { Process.HasExited: false } running)
                running.Process.Signal("CONT");
            await silo.Link.DisposeAsync().ConfigureAwait(false);
        }
    }

    private async Task DisturbAsync(ChaosStep step, ChaosSilo silo, ChaosSilo other, CancellationToken cancellation)
    {
        switch (step.What)
        {
            case Disturbance.Kill:
                await KillAsync(silo).ConfigureAwait(false);
                break;
            case Disturbance.KillTwo:
                await Task.WhenAll(KillAsync(silo), KillAsync(other)).ConfigureAwait(false);
                break;
            case Disturbance.Freeze:
                silo.Frozen = true;
                silo.Silo!.Process.Signal("STOP");
                await PassAsync(step.Lasting, cancellation).ConfigureAwait(false);
                silo.Silo.Process.Signal("CONT");
                silo.Frozen = false;
                break;
            case Disturbance.Cut:
                silo.Link.Cut();
                await PassAsync(step.Lasting, cancellation).ConfigureAwait(false);
                silo.Link.Mend();
                break;
        }
    }

    private async Task KillAsync(ChaosSilo silo)
    {
        await cluster.KillSiloAsync(silo.Silo!).ConfigureAwait(false);
        silo.Silo = null;
    }

    /// <summary>
    /// Silos that were killed, or ended since they found themselves declared dead, are started anew under their names. One that does
    /// not come up is told of and started again at the next look, as a supervisor would.
    /// </summary>
    private async Task ReplaceAsync(CancellationToken cancellation)
    {
        foreach (ChaosSilo silo in _silos.Where(s => s.Silo is null or { Process.HasExited: true }))
        {
            DrillSilo? ended = silo.Silo;
            silo.Silo = null;
            if (ended is not null)
                await cluster.KillSiloAsync(ended).ConfigureAwait(false);
            try
            {
                silo.Silo = await cluster.AddSiloBehindAsync(silo.Name, silo.Link.Address, cancellation).ConfigureAwait(false);
            }
            catch (DrillException failed)
            {
                _failedStarts++;
                session.Output.Say($"silo {silo.Name} did not start: {failed.Message}");
            }
        }
    }

    /// <summary>Lets time pass, looking.</summary>
    private Task<bool> PassAsync(TimeSpan time, CancellationToken cancellation)
    {
        long began = Stopwatch.GetTimestamp();
        return Watch.UntilAsync(async () =>
        {
            await CollectAsync(cancellation).ConfigureAwait(false);
            return Stopwatch.GetElapsedTime(began) >= time;
        }, time + s_limit, cancellation);
    }

    private Task CollectAsync(CancellationToken cancellation) => Task.WhenAll(
        from silo in _silos.Where(silo => !silo.Frozen).Select(silo => silo.Silo).OfType<DrillSilo>().ToList()
        where !silo.Process.HasExited
        from guest in _guests
        select guest.CollectAsync(silo, cancellation));

    private async Task<IReadOnlyList<VmInfo>> ShowAsync(CancellationToken cancellation) =>
        await Task.WhenAll(_guests.Select(guest => guest.Vm.ShowAsync(cancellation))).ConfigureAwait(false);

    private static async Task MoveAsync(TrackedGuest guest, string target, CancellationToken cancellation)
    {
        try
        {
            MigrationHandle handle = await guest.Vm.MigrateAsync(new MigrationRequest { Target = target }, cancellation).ConfigureAwait(false);
            await handle.ResultAsync(cancellation).ConfigureAwait(false);
        }
        catch (GodwitException)
        {
            // It is there already, or what happens to the silos has ended the move: the checks tell how the guest is.
        }
    }

    private async Task<string?> FindProblemAsync(CancellationToken cancellation)
    {
        foreach (TrackedGuest guest in _guests)
        {
            string? problem = guest.FindTwoRunners();
            if (problem is null)
            {
                // A false alarm of the moment before, say, is on its way to being settled.
                await Watch.UntilAsync(async () => (problem = await TryFindLostAsync(guest, cancellation).ConfigureAwait(false)) is null, s_leftLimit, cancellation).ConfigureAwait(false);
            }
            if (problem is not null)
                return $"{guest.Name}: {problem}";
        }
        return null;
    }

    private static async Task<string?> TryFindLostAsync(TrackedGuest guest, CancellationToken cancellation)
    {
        try
        {
            return await guest.FindLostAsync(cancellation).ConfigureAwait(false);
        }
        catch (GodwitException silent)
        {
            return silent.Message;
        }
    }

    /// <summary>Memory and files beyond what the guests have, given time to go.</summary>
    private async Task<string?> FindLeftAsync(CancellationToken cancellation)
    {
        string? left = null;
        await Watch.UntilAsync(async () =>
        {
            await ReplaceAsync(cancellation).ConfigureAwait(false);
            if (_silos.Find(silo => silo.Silo is null) is { } missing)
            {
                left = $"silo {missing.Name} does not start";
                return false;
            }
            int memories = _silos.Sum(silo => silo.Silo!.Process.GuestMemories());
            left = memories > _guests.Count ? $"{memories} guest memories for {_guests.Count} guests" : null;
            for (int i = 0; left is null && i < _guests.Count; i++)
                left = await FindLeftFilesAsync(_guests[i], cancellation).ConfigureAwait(false);
            return left is null;
        }, s_leftLimit, cancellation).ConfigureAwait(false);
        return left;
    }

    // Files may be one more than before, being written, and one more than that where it took long to ask.
    private async Task<string?> FindLeftFilesAsync(TrackedGuest guest, CancellationToken cancellation)
    {
        VmInfo before = await guest.Vm.ShowAsync(cancellation).ConfigureAwait(false);
        int files = cluster.CheckpointFiles(guest.Name);
        VmInfo after = await guest.Vm.ShowAsync(cancellation).ConfigureAwait(false);
        int most = Math.Max(before.Checkpoint?.Files ?? 0, after.Checkpoint?.Files ?? 0) + 1;
        return files <= most ? null : $"{guest.Name} has {files} checkpoint files, its checkpoint {after.Checkpoint?.Files}{(after.Checkpoints?.Error is { } error ? $" ({error})" : "")}";
    }

    private async Task PlantAsync(string fault, ChaosSilo silo, CancellationToken cancellation)
    {
        TrackedGuest guest = _guests[0];
        VmInfo info = await guest.Vm.ShowAsync(cancellation).ConfigureAwait(false);
        switch (fault)
        {
            case ChaosDrill.LostVm:
                await guest.Vm.SetRestartAsync(RestartPolicy.None, cancellation).ConfigureAwait(false);
                await KillAsync(_silos.Single(s => s.Silo?.Address == info.SiloAddress)).ConfigureAwait(false);
                await ReplaceAsync(cancellation).ConfigureAwait(false);
                break;
            case ChaosDrill.LeftFile:
                cluster.LeaveCheckpointFiles(guest.Name);
                break;
            case ChaosDrill.DoubleRun:
                // Each overlap lasts a millisecond or two: moved until it ticked in one.
                for (int move = 0; move < MostPlantedMoves && guest.FindTwoRunners() is null; move++)
                {
                    ChaosSilo target = _silos.First(s => s.Silo!.Address != info.SiloAddress);
                    MigrationHandle handle = await guest.Vm.MigrateAsync(new MigrationRequest { Target = target.Name, Inject = fault, Cooperate = false }, cancellation).ConfigureAwait(false);
                    await handle.ResultAsync(cancellation).ConfigureAwait(false);
                    await CollectAsync(cancellation).ConfigureAwait(false);
                    info = await guest.Vm.ShowAsync(cancellation).ConfigureAwait(false);
                }
                break;
        }
    }
}

/// <summary>A silo by its name, whichever process has it now.</summary>
internal sealed class ChaosSilo(string name, StoreLink link)
{
    public string Name { get; } = name;

    public StoreLink Link { get; } = link;

    /// <summary>Null between its death and its successor.</summary>
    public DrillSilo? Silo { get; set; }

    /// <summary>It would not answer.</summary>
    public bool Frozen { get; set; }
}
