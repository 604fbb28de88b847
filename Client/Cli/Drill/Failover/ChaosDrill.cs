using System.CommandLine;
using System.Diagnostics;
using Godwit.Cli.Run;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Drill.Failover;

/// <summary><c>godwit drill chaos</c>: silos are killed, frozen and cut off under guests that move and take checkpoints.</summary>
internal static class ChaosDrill
{
    public const string DoubleRun = "double-run";
    public const string LostVm = "lost-vm";
    public const string LeftFile = "left-file";

    public static Command Create()
    {
        Option<int?> steps = new("--steps") { Description = "How many steps (default 20)" };
        Option<double?> minutes = new("--minutes") { Description = "Or for how long" };
        Option<int> guests = new("--guests") { Description = "How many guests", DefaultValueFactory = _ => 4 };
        Option<string> memory = new("--memory") { Description = "RAM of each guest", DefaultValueFactory = _ => "16M" };
        Option<double> lease = new("--lease") { Description = "Seconds of the silos' lease, which also bounds their failure detection", DefaultValueFactory = _ => 2 };
        Option<string> cpu = CpuOption.Create();
        DrillOptions options = new("chaos", DoubleRun, LostVm, LeftFile);
        Command command = new("chaos", """
            Start three silos and guests with checkpoints every second; then, step by step and drawn by lot, kill silos, freeze
            them and cut them from the store while guests move. Checks after every step that no guest ran twice at any time,
            none was lost or fell back behind a checkpoint, and nothing was left over. A seed repeats its steps.

            Examples:
              godwit drill chaos --seed 7 --steps 200
              godwit drill chaos --minutes 10 --backend mixed
              godwit drill chaos --steps 3 --inject lost-vm
            """)
        { steps, minutes, guests, memory, cpu, lease };
        options.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            if (!MemorySize.TryParse(parsed.GetValue(memory)!, out long bytes))
                throw new UsageException($"--memory {parsed.GetValue(memory)}: write a size such as 16M");
            if (parsed.GetValue(steps) is not null && parsed.GetValue(minutes) is not null)
                throw new UsageException("give --steps or --minutes, not both");
            TimeSpan? time = parsed.GetValue(minutes) switch
            {
                null => null,
                > 0 and <= 10_000 and { } given => TimeSpan.FromMinutes(given),
                var given => throw new UsageException($"--minutes {given}: write a number above 0, up to 10000"),
            };
            DrillGuests made = new(new DrillLoad(bytes, CpuOption.Parse(parsed.GetValue(cpu)!), 2, 100));
            int count = DrillOptions.Between("--guests", parsed.GetValue(guests), 1, 100);
            int most = time is null ? DrillOptions.Between("--steps", parsed.GetValue(steps) ?? 20, 1, 1_000_000) : int.MaxValue;
            double seconds = parsed.GetValue(lease) is >= 1 and <= 60 and var s ? s : throw new UsageException("--lease takes 1 to 60 seconds");
            return await RunAsync(options.Read(parsed), made, count, most, time, seconds, cancellation).ConfigureAwait(false);
        });
        return command;
    }

    private static async Task<int> RunAsync(DrillSession session, DrillGuests guests, int count, int most, TimeSpan? time, double lease, CancellationToken cancellation)
    {
        session.PrepareReport();
        string seconds = lease.ToString(System.Globalization.CultureInfo.InvariantCulture);
        DrillCluster cluster = await session.StartClusterAsync(0, cancellation, "--lease", seconds, "--lease-margin", "1", "--failure-detection", seconds, "--memory", "1G").ConfigureAwait(false);
        int done = 0;
        await using (cluster.ConfigureAwait(false))
        {
            ChaosRun run = new(session, cluster);
            await using (run.ConfigureAwait(false))
            {
                await run.StartAsync(guests, count, cancellation).ConfigureAwait(false);
                long began = Stopwatch.GetTimestamp();
                bool held = true;
                while (held && done < most && (time is null || Stopwatch.GetElapsedTime(began) < time))
                    held = await run.StepAsync(ChaosStep.Draw(session.Random, ++done, ChaosRun.Silos, count), cancellation).ConfigureAwait(false);
                await run.FinishAsync(held, cancellation).ConfigureAwait(false);
            }
        }
        session.Figure("steps", done);
        return await session.FinishAsync(cancellation).ConfigureAwait(false);
    }
}
