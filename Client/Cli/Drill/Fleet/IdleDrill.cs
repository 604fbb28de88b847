using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Godwit.Cli.Run;
using Godwit.Client;
using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill.Fleet;

/// <summary><c>godwit drill idle</c>: what guests cost that do nothing, beside the RAM that they have touched.</summary>
internal sealed class IdleDrill(DrillSession session, int count, int seconds, long memoryBytes, CpuLevel cpu)
{
    private const string BusyGuests = "busy-guests";
    private const int StartedAtOnce = 4;

    /// <summary>An idle guest may cost this much of a core, and this much memory beside its RAM.</summary>
    private const double MostCpuPercent = 1;
    private const double MostMebibytes = 4;

    /// <summary>
    /// A guest that wakes ten times a second executes some thousands of instructions in it. Unlike a share of the CPU this tells idle
    /// guests from busy ones also where the host is so busy that nobody gets much.
    /// </summary>
    private const double MostInstructions = 200_000;

    /// <summary>What a silo comes to cost with its first guests: code that is compiled, heaps that grow.</summary>
    private const double SiloCpuPercent = 40;
    private const double SiloMebibytes = 96;

    private static readonly TimeSpan s_startLimit = TimeSpan.FromMinutes(3);

    public static Command Create()
    {
        Option<int> guests = new("--guests") { Description = "How many guests", DefaultValueFactory = _ => 100 };
        Option<int> seconds = new("--seconds") { Description = "How long to measure", DefaultValueFactory = _ => 20 };
        Option<string> memory = new("--memory") { Description = "RAM of each guest", DefaultValueFactory = _ => "64M" };
        Option<string> cpu = CpuOption.Create();
        DrillOptions options = new("idle", BusyGuests);
        Command command = new("idle", """
            Start one silo and many guests on it that do nothing but wake ten times a second and write a line every ten seconds;
            measure what they cost: the silo's memory beside the RAM that the guests have touched, its threads, CPU and wake-ups.

            Examples:
              godwit drill idle
              godwit drill idle --guests 20 --seconds 60 --backend interpreter
            """)
        { guests, seconds, memory, cpu };
        options.AddTo(command);
        command.SetAction(async (parsed, cancellation) => await new IdleDrill(
            options.Read(parsed),
            DrillOptions.Between("--guests", parsed.GetValue(guests), 1, 1000),
            DrillOptions.Between("--seconds", parsed.GetValue(seconds), 1, 3600),
            MemorySize.TryParse(parsed.GetValue(memory)!, out long bytes) ? bytes : throw new UsageException($"--memory {parsed.GetValue(memory)}: write a size such as 64M"),
            CpuOption.Parse(parsed.GetValue(cpu)!)).RunAsync(cancellation).ConfigureAwait(false));
        return command;
    }

    private async Task<int> RunAsync(CancellationToken cancellation)
    {
        session.PrepareReport();
        string vcpus = Math.Max(count, 1).ToString(CultureInfo.InvariantCulture);
        string memory = (count * memoryBytes).ToString(CultureInfo.InvariantCulture);
        DrillCluster cluster = await session.StartClusterAsync(1, cancellation, "--memory", memory, "--vcpus", vcpus).ConfigureAwait(false);
        await using (cluster.ConfigureAwait(false))
        {
            DrillProcess silo = cluster.Silos[0].Process;
            ProcessUse empty = ProcessUse.Of(silo.Id);
            session.Output.Say($"starting {count} guests");
            List<Vm> guests = [];
            foreach (int[] batch in Enumerable.Range(0, count).Chunk(StartedAtOnce))
                guests.AddRange(await Task.WhenAll(batch.Select(number => StartAsync(cluster.Client, number, cancellation))).ConfigureAwait(false));
            await WaitForFirstLinesAsync(guests, cancellation).ConfigureAwait(false);
            session.Output.Say($"measuring for {seconds} s");
            VmInfo[] first = await ShowAsync(guests, cancellation).ConfigureAwait(false);
            long began = Stopwatch.GetTimestamp();
            ProcessUse before = ProcessUse.Of(silo.Id);
            using (PeriodicTimer window = new(TimeSpan.FromSeconds(seconds)))
                await window.WaitForNextTickAsync(cancellation).ConfigureAwait(false);
            ProcessUse after = ProcessUse.Of(silo.Id);
            VmInfo[] infos = await ShowAsync(guests, cancellation).ConfigureAwait(false);
            double passed = Stopwatch.GetElapsedTime(began).TotalSeconds;
            Report(empty, before, after, infos.Sum(info => info.Figures?.ResidentBytes ?? 0));
            double executed = infos.Zip(first).Sum(pair => (double)(pair.First.Figures?.RetiredInstructions ?? 0) - (pair.Second.Figures?.RetiredInstructions ?? 0)) / passed / count;
            session.Figure("instructions a second and guest", executed);
            session.Check("an idle guest executes next to nothing", executed <= MostInstructions, string.Create(CultureInfo.InvariantCulture, $"{executed:0} instructions a second; next to nothing is {MostInstructions:0}"));
            int going = infos.Zip(first).Count(pair => pair.First.State == VmState.Running && pair.First.Figures?.GuestNanoseconds > pair.Second.Figures?.GuestNanoseconds);
            session.Check($"{count} guests go on", going == count, $"{going} of them");
        }
        return await session.FinishAsync(cancellation).ConfigureAwait(false);
    }

    private void Report(ProcessUse empty, ProcessUse before, ProcessUse after, long touched)
    {
        const double mebibyte = 1 << 20;
        double cpu = (after.Cpu - before.Cpu).TotalSeconds / seconds * 100 / count;
        double beside = (after.PrivateBytes + after.SharedBytes - empty.PrivateBytes - empty.SharedBytes - touched) / mebibyte / count;
        session.Figure("silo without guests, MiB", (empty.PrivateBytes + empty.SharedBytes) / mebibyte);
        session.Figure("RAM that a guest has touched, MiB", touched / mebibyte / count);
        session.Figure("memory beside it, MiB a guest", beside);
        session.Figure("of that anonymous, MiB a guest", (after.PrivateBytes - empty.PrivateBytes) / mebibyte / count);
        session.Figure("threads a guest", (double)(after.Threads - empty.Threads) / count);
        session.Figure("CPU, % of a core a guest", cpu);
        session.Figure("CPU of the silo, % of a core", cpu * count);
        session.Figure("wake-ups a second and guest", (double)(after.Switches - before.Switches) / seconds / count);
        session.Check("an idle guest costs little CPU", cpu * count <= MostCpuPercent * count + SiloCpuPercent, string.Create(CultureInfo.InvariantCulture, $"{cpu * count:0.0} % of a core for all; little is {MostCpuPercent} % a guest, and {SiloCpuPercent} %"));
        session.Check("an idle guest costs little memory beside its RAM", beside * count <= MostMebibytes * count + SiloMebibytes, string.Create(CultureInfo.InvariantCulture, $"{beside * count:0} MiB for all; little is {MostMebibytes} MiB a guest, and {SiloMebibytes} MiB"));
    }

    private async Task<Vm> StartAsync(GodwitClient client, int number, CancellationToken cancellation)
    {
        Vm vm = client.Vm(string.Create(CultureInfo.InvariantCulture, $"idle-{number + 1}"));
        string work = session.Inject == BusyGuests ? "rate=4000000 verify=4000000 period=1" : "rate=0 verify=0 period=100";
        await vm.CreateAsync(new VmDefinition { MemoryBytes = memoryBytes, CpuLevel = (int)cpu, Boot = VmBoot.Builtin, CommandLine = $"working-set=1M {work} free=none interval=10000" }, cancellation).ConfigureAwait(false);
        await vm.StartAsync(cancellation: cancellation).ConfigureAwait(false);
        return vm;
    }

    /// <summary>Waits until every guest has written something: it has booted.</summary>
    private static async Task WaitForFirstLinesAsync(IReadOnlyList<Vm> guests, CancellationToken cancellation)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(s_startLimit);
        using PeriodicTimer look = new(TimeSpan.FromSeconds(1));
        try
        {
            while (true)
            {
                VmInfo[] infos = await ShowAsync(guests, limit.Token).ConfigureAwait(false);
                if (infos.All(info => info.Figures is { ConsoleEnd: > 0 }))
                    return;
                await look.WaitForNextTickAsync(limit.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new DrillException($"not every guest had booted within {s_startLimit.TotalMinutes:0} minutes");
        }
    }

    private static Task<VmInfo[]> ShowAsync(IReadOnlyList<Vm> guests, CancellationToken cancellation) =>
        Task.WhenAll(guests.Select(guest => guest.ShowAsync(cancellation)));
}
