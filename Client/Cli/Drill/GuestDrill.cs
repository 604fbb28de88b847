using Godwit.Client;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill;

/// <summary>One guest's part of the drill: boot, work, move back and forth under load, stop; then what its console and the silos prove.</summary>
internal sealed class GuestDrill(DrillCluster cluster, GuestPlan guest, DrillPlan plan, DrillOutput output)
{
    private readonly List<DrillMigration> _migrations = [];
    private readonly List<Check> _checks = [];

    public async Task<(GuestRun Run, IReadOnlyList<Check> Checks)> RunAsync(CancellationToken cancellation)
    {
        Vm vm = cluster.Client.Vm(guest.VmName);
        await vm.CreateAsync(guest.Definition, cancellation).ConfigureAwait(false);
        await vm.StartAsync(cluster.Silos[0].Name, cancellation).ConfigureAwait(false);
        output.Say($"{guest.Name}: started on silo {cluster.Silos[0].Name}, waiting for its workload");
        ConsoleCollector console = new(vm);
        await using (console.ConfigureAwait(false))
        {
            bool going = await console.WaitForTicksAsync(NextTicks(), guest.BootLimit, cancellation).ConfigureAwait(false);
            Add("workload came up", going, going ? "it reports" : $"no report within {guest.BootLimit.TotalSeconds:0} s");
            for (int move = 0; going && move < plan.Moves; move++)
                going = await MoveAsync(vm, console, move, cancellation).ConfigureAwait(false);
            await vm.StopAsync(cancellation).ConfigureAwait(false);
            RunHistory history = await vm.RunsAsync(cancellation).ConfigureAwait(false);
            await vm.DeleteAsync(cancellation).ConfigureAwait(false);
            GuestConsole said = await console.StopAsync().ConfigureAwait(false);
            List<RunInterval> intervals = [.. history.Intervals.Select(interval => ToRecord(interval, history.TicksPerSecond))];
            _checks.AddRange(ConsoleChecks.Run(guest.Name, said));
            Add("console offsets follow one another", console.Gap is null, console.Gap ?? $"{said.Bytes.Length} bytes");
            _checks.Add(MigrationChecks.OneRunner(guest.Name, intervals));
            if (plan.Moves > 0)
                _checks.Add(MigrationChecks.EqualMemory(guest.Name, _migrations));
            return (new GuestRun(guest.Name, guest.VmName, said.Bytes, _migrations, intervals), _checks);
        }
    }

    // False: the guest did not come out of it; there is no point in moving it again.
    private async Task<bool> MoveAsync(Vm vm, ConsoleCollector console, int move, CancellationToken cancellation)
    {
        DrillSilo from = cluster.Silos[move % cluster.Silos.Count], to = cluster.Silos[(move + 1) % cluster.Silos.Count];
        int before = console.TickCount;
        MigrationResult result;
        try
        {
            MigrationHandle handle = await vm.MigrateAsync(
                new MigrationRequest { Target = to.Name, VerifyAllMemory = true, Cooperate = guest.Cooperate, Inject = move == 0 ? plan.Inject : null },
                cancellation).ConfigureAwait(false);
            await foreach (MigrationStep step in handle.WatchAsync(0, cancellation).ConfigureAwait(false))
                output.Progress($"{guest.Name}: {from.Name} -> {to.Name}: {step.Message}");
            result = await handle.ResultAsync(cancellation).ConfigureAwait(false);
        }
        catch (GodwitException refused)
        {
            Add($"moves {from.Name} -> {to.Name}", false, refused.Message);
            return false;
        }
        int after = console.TickCount;
        bool going = await console.WaitForTicksAsync(after + NextTicks(), plan.TickLimit, cancellation).ConfigureAwait(false);
        Add($"goes on after {from.Name} -> {to.Name}", going, going ? "it reports" : $"no report within {plan.TickLimit.TotalSeconds:0} s");
        int left = from.Process.GuestMemories();
        Add($"silo {from.Name} released its copy", left == 0, left == 0 ? "no guest memory is left" : $"{left} guest memories are left");
        DrillMigration record = ToRecord(result, from.Name, to.Name, console.LargestGapSince(before));
        _migrations.Add(record);
        output.Migration(record);
        return going;
    }

    // How long the guest works between two moves is drawn by lot: moves come at other moments of its work each time.
    private int NextTicks() => plan.Random.Next(plan.LeastTicks, plan.MostTicks + 1);

    private DrillMigration ToRecord(MigrationResult result, string from, string to, double? gap)
    {
        double at = result.Stages.Where(stage => stage.Stage == "Copy").Select(stage => stage.At.TotalMilliseconds).FirstOrDefault();
        double final = result.Stages.Where(stage => stage.Stage == "Final").Select(stage => stage.At.TotalMilliseconds).FirstOrDefault();
        List<DrillRound> rounds = [];
        foreach (MigrationRound round in result.Rounds)
        {
            double start = round.Final ? final : at;
            rounds.Add(new DrillRound(round.Round, start, round.Duration.TotalMilliseconds, round.Pages, round.ZeroPages, round.Bytes, round.DirtiedMeanwhile, round.Final));
            at = start + round.Duration.TotalMilliseconds;
        }
        return new DrillMigration
        {
            Guest = guest.Name,
            Cooperation = guest.Cooperate,
            GuestWasReady = result.GuestWasReady,
            From = from,
            To = to,
            Rounds = rounds,
            TotalMilliseconds = result.Total.TotalMilliseconds,
            BlackoutMilliseconds = result.Blackout.TotalMilliseconds,
            VerificationMilliseconds = result.Verification.TotalMilliseconds,
            GuestGapMilliseconds = gap,
            Bytes = result.Bytes,
            FreePagesSkipped = result.FreePagesSkipped,
            SourceHash = result.SourceHash,
            TargetHash = result.TargetHash,
            Epoch = result.Epoch,
        };
    }

    private RunInterval ToRecord(Grains.Interfaces.Vms.RunInterval interval, long ticksPerSecond)
    {
        long nanosecondsPerTick = 1_000_000_000 / ticksPerSecond;
        return new RunInterval(guest.VmName, interval.SiloName, interval.Epoch, interval.Started * nanosecondsPerTick, interval.Stopped * nanosecondsPerTick);
    }

    private void Add(string what, bool held, string detail) => _checks.Add(new Check($"{guest.Name}: {what}", held, detail));
}
