using System.CommandLine;
using System.Diagnostics;
using Godwit.Cli.Guest;
using Godwit.Cli.Run;
using Godwit.Client;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill.Failover;

/// <summary><c>godwit drill failover</c>: the silo under a guest is killed, again and again.</summary>
internal sealed class FailoverDrill(DrillSession session, GuestPlan plan, LinuxGuest? images, DrillGuests guests, int kills, double every)
{
    private const string NoCheckpoints = "no-checkpoints";
    private static readonly TimeSpan s_goal = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(90);

    private readonly List<double> _times = [];
    private readonly List<double> _pauses = [];
    private readonly List<double> _medians = [];

    public static Command Create()
    {
        Option<string> guest = new("--guest") { Description = "linux: Debian's kernel with a workload; builtin: the built-in guest", DefaultValueFactory = _ => "builtin" };
        Option<string> memory = new("--memory") { Description = "RAM of the guest", DefaultValueFactory = _ => "256M" };
        Option<int> workingSet = new("--working-set") { Description = "MiB that the workload keeps rewriting", DefaultValueFactory = _ => 16 };
        Option<int> rate = new("--rate") { Description = "Pages that it rewrites a second", DefaultValueFactory = _ => 2000 };
        Option<int> kills = new("--kills") { Description = "How often the silo under the guest is killed", DefaultValueFactory = _ => 3 };
        Option<double> every = new("--checkpoint-every") { Description = "Seconds from one checkpoint to the next", DefaultValueFactory = _ => 5 };
        Option<string> cpu = CpuOption.Create();
        DrillOptions options = new("failover", NoCheckpoints);
        Command command = new("failover", """
            Start three silos with the default lease and a guest with checkpoints, and kill (kill -9) the silo under it. Checks
            that it goes on elsewhere from its last checkpoint within 10 s each time; measures that, and the checkpoints.

            Examples:
              godwit drill failover
              godwit drill failover --guest linux --kills 5
              godwit drill failover --inject no-checkpoints
            """)
        { guest, memory, cpu, workingSet, rate, kills, every };
        options.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            if (!MemorySize.TryParse(parsed.GetValue(memory)!, out long bytes))
                throw new UsageException($"--memory {parsed.GetValue(memory)}: write a size such as 256M");
            bool linux = DrillOptions.OneOf("--guest", parsed.GetValue(guest)!, ["linux", "builtin"]) == "linux";
            DrillGuests guests = new(new DrillLoad(bytes, CpuOption.Parse(parsed.GetValue(cpu)!), DrillOptions.Between("--working-set", parsed.GetValue(workingSet), 1, 1024), DrillOptions.Between("--rate", parsed.GetValue(rate), 1, 1_000_000)));
            DrillSession session = options.Read(parsed);
            int count = DrillOptions.Between("--kills", parsed.GetValue(kills), 1, 1000);
            double seconds = parsed.GetValue(every) is >= 1 and <= 3600 and var given ? given : throw new UsageException("--checkpoint-every takes 1 to 3600 seconds");
            session.PrepareReport();
            LinuxGuest? images = linux ? await DrillGuests.FetchAsync().ConfigureAwait(false) : null;
            return await new FailoverDrill(session, guests.BuiltinGuest(cooperating: false), images, guests, count, seconds).RunAsync(cancellation).ConfigureAwait(false);
        });
        return command;
    }

    private async Task<int> RunAsync(CancellationToken cancellation)
    {
        DrillCluster cluster = await session.StartClusterAsync(3, cancellation).ConfigureAwait(false);
        await using (cluster.ConfigureAwait(false))
        {
            GuestPlan chosen = images is null ? plan : await guests.LinuxAsync(cluster.Client, images, cancellation).ConfigureAwait(false);
            RestartPolicy policy = new() { Mode = session.Inject == NoCheckpoints ? RestartMode.Restart : RestartMode.Checkpoint, CheckpointEvery = TimeSpan.FromSeconds(every) };
            Vm vm = cluster.Client.Vm(chosen.VmName);
            await vm.CreateAsync(chosen.Definition with { Restart = policy }, cancellation).ConfigureAwait(false);
            await vm.StartAsync(cluster.Silos[0].Name, cancellation).ConfigureAwait(false);
            for (int kill = 1; kill <= kills; kill++)
                if (!await KillAsync(cluster, vm, kill, cancellation).ConfigureAwait(false))
                    break;
            await FinishAsync(vm, chosen.Name, cancellation).ConfigureAwait(false);
        }
        session.Figure("from kill to running, median, s", Median(_times));
        session.Figure("from kill to running, longest, s", _times.DefaultIfEmpty().Max());
        session.Figure("checkpoint pause, median, ms", Median(_medians));
        session.Figure("checkpoint pause, longest, ms", _pauses.DefaultIfEmpty().Max());
        return await session.FinishAsync(cancellation).ConfigureAwait(false);
    }

    private async Task<bool> KillAsync(DrillCluster cluster, Vm vm, int kill, CancellationToken cancellation)
    {
        VmInfo before = await ReadyAsync(vm, cancellation).ConfigureAwait(false);
        if (before.Checkpoints is { } measured)
        {
            _pauses.Add(measured.MaxPause.TotalMilliseconds);
            _medians.Add(measured.MedianPause.TotalMilliseconds);
            session.Figure($"checkpoint before kill {kill}, bytes", measured.LastBytes);
            session.Figure($"checkpoint before kill {kill}, ms in all", measured.LastDuration.TotalMilliseconds);
            session.Figure($"checkpoints before kill {kill}, taken", measured.Taken);
        }
        DrillSilo victim = cluster.Silos.Single(silo => silo.Address == before.SiloAddress);
        session.Output.Say($"kill {kill}: silo {victim.Name}, guest at checkpoint {before.Checkpoint?.Number}");
        long killed = Stopwatch.GetTimestamp();
        await cluster.KillSiloAsync(victim).ConfigureAwait(false);
        TrackedGuest guest = new(vm);
        bool ran = await Watch.UntilAsync(async () =>
        {
            foreach (DrillSilo silo in cluster.Silos)
                await guest.CollectAsync(silo, cancellation).ConfigureAwait(false);
            return guest.RanAbove(before.Epoch) is not null;
        }, s_limit, cancellation).ConfigureAwait(false);
        string name = $"kill {kill}: goes on elsewhere";
        if (!ran)
        {
            session.Check(name, false, $"not within {s_limit.TotalSeconds:0} s");
            return false;
        }
        TimeSpan took = Stopwatch.GetElapsedTime(killed, guest.RanAbove(before.Epoch)!.Value);
        _times.Add(took.TotalSeconds);
        session.Check(name, true, $"after {took.TotalSeconds:0.00} s");
        session.Check($"kill {kill}: within {s_goal.TotalSeconds:0} s", took <= s_goal, $"{took.TotalSeconds:0.00} s");
        VmInfo after = await vm.ShowAsync(cancellation).ConfigureAwait(false);
        session.Check(
            $"kill {kill}: from its checkpoint",
            after.BootEpoch == before.BootEpoch && after.Recovery?.Checkpoint >= before.Checkpoint?.Number,
            after.Recovery?.Checkpoint is { } from ? $"from {from}, {before.Checkpoint?.Number} was there" : "it booted again");
        await cluster.AddSiloAsync(victim.Name, cancellation).ConfigureAwait(false);
        return true;
    }

    /// <summary>It works, and there are three checkpoints more: a whole one and two that continue it.</summary>
    private static async Task<VmInfo> ReadyAsync(Vm vm, CancellationToken cancellation)
    {
        VmInfo info = await vm.ShowAsync(cancellation).ConfigureAwait(false);
        bool wanted = info.Definition.Restart!.Mode == RestartMode.Checkpoint;
        await Watch.UntilAsync(async () =>
        {
            info = await vm.ShowAsync(cancellation).ConfigureAwait(false);
            return info.State == VmState.Running && info.Figures?.GuestNanoseconds > 5_000_000_000 && (!wanted || info.Checkpoints is { Taken: >= 3 });
        }, s_limit, cancellation).ConfigureAwait(false);
        return info;
    }

    private async Task FinishAsync(Vm vm, string name, CancellationToken cancellation)
    {
        // A line or two after the last kill.
        VmInfo info = await vm.ShowAsync(cancellation).ConfigureAwait(false);
        long end = info.Figures?.ConsoleEnd ?? 0;
        bool prints = await Watch.UntilAsync(async () => (await vm.ShowAsync(cancellation).ConfigureAwait(false)).Figures?.ConsoleEnd > end + 300, s_limit, cancellation).ConfigureAwait(false);
        session.Check($"{name}: works on at the end", prints, prints ? "it prints" : "it prints nothing");
        session.Add(ConsoleChecks.Run(name, await ConsoleTail.ReadAsync(vm, cancellation).ConfigureAwait(false)).Where(check => !check.Name.Contains("keeps pace", StringComparison.Ordinal)));
        await vm.StopAsync(cancellation).ConfigureAwait(false);
        await vm.DeleteAsync(cancellation).ConfigureAwait(false);
    }

    private static double Median(List<double> values) => values.Count == 0 ? 0 : values.Order().ElementAt(values.Count / 2);
}
