using System.Globalization;
using System.Text;
using Godwit.Cli.Guest;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Guest.Benchmarks.Machines;
using Godwit.Guest.Benchmarks.Reports;

namespace Godwit.Guest.Benchmarks.Suites;

/// <summary>
/// What a migration's dirty log costs the guest: jobs that write, with a session open and collected every round,
/// against the same without one; processor time of the vCPU's thread, by turns.
/// </summary>
internal sealed class DirtyLogRunner(Workshop workshop, BenchmarkOptions options, Action<string> progress)
{
    // A round of a migration over a fast link: the drill's last from 50 to 200 ms.
    // In the vCPU's processor time: on a busy host it gets a part of each wall-clock round only, and would have the whole
    // cost of a round in that part.
    private const long RoundNanoseconds = 100_000_000;
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(90);
    private const string MachineName = "dirty";
    private const string VcpuThread = $"{MachineName}/vcpu0";

    private static readonly Job[] s_jobs = [new("dirty", "random 8 MiB", 30_000_000), new("dirty", "copy loop", 8000), new("dirty", "qsort", 150)];

    private long _read;

    public async Task<IReadOnlyList<DirtyLogResult>> RunAsync(CancellationToken cancellation)
    {
        progress("starting a machine in this process");
        BootImages images = new(
            await File.ReadAllBytesAsync(workshop.Kernel, cancellation).ConfigureAwait(false),
            await File.ReadAllBytesAsync(workshop.Initrd, cancellation).ConfigureAwait(false));
        MachineSpec spec = MachineSpecs.Create(256 << 20, 1, ClockMode.Host, "vmlinuz", images.Kernel, "initramfs", $"{LinuxGuest.CommandLine} godwit.workload=/bin/busybox,/root godwit.poweroff");
        await using VirtualMachine machine = new(spec, MachineName, BackendKind.Translator);
        machine.Boot(images);
        machine.Permit.Grant(1, long.MaxValue);
        await machine.RunAsync().ConfigureAwait(false);
        await AnswerAsync(machine, "@ready", cancellation).ConfigureAwait(false);
        List<DirtyLogResult> results = [];
        foreach (Job job in s_jobs)
        {
            double without = double.MaxValue, with = double.MaxValue;
            int rounds = 0;
            for (int i = 0; i <= options.Repetitions; i++)
            {
                double plain = await TimeAsync(machine, job, cancellation).ConfigureAwait(false);
                (double logged, rounds) = await TimeLoggedAsync(machine, job, cancellation).ConfigureAwait(false);
                progress(string.Create(CultureInfo.InvariantCulture, $"  {job.Name} {i}: {plain:0} without, {logged:0} with, {rounds} rounds"));
                if (i == 0)
                    continue; // Warm-up.
                without = Math.Min(without, plain);
                with = Math.Min(with, logged);
            }
            results.Add(new DirtyLogResult(job.Name, without, with, rounds));
            progress(string.Create(CultureInfo.InvariantCulture, $"dirty log, {job.Name}: {(with / without - 1) * 100:0.0} % in {rounds} rounds"));
        }
        return results;
    }

    private async Task<(double Milliseconds, int Rounds)> TimeLoggedAsync(VirtualMachine machine, Job job, CancellationToken cancellation)
    {
        using DirtySession session = machine.Memory.Dirty.Open("benchmark");
        using CancellationTokenSource done = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task<int> collecting = CollectAsync(session, new PageBitmap(machine.Memory.Dirty.PageCount), done.Token);
        double time = await TimeAsync(machine, job, cancellation).ConfigureAwait(false);
        await done.CancelAsync().ConfigureAwait(false);
        return (time, await collecting.ConfigureAwait(false));
    }

    private static async Task<int> CollectAsync(DirtySession session, PageBitmap pages, CancellationToken done)
    {
        using PeriodicTimer timer = new(s_look);
        int rounds = 0;
        long last = ProcessorTime.OfOwnThread(VcpuThread);
        try
        {
            while (await timer.WaitForNextTickAsync(done).ConfigureAwait(false))
            {
                if (ProcessorTime.OfOwnThread(VcpuThread) - last < RoundNanoseconds)
                    continue;
                last += RoundNanoseconds;
                session.Collect(pages);
                pages.Clear();
                rounds++;
            }
        }
        catch (OperationCanceledException)
        {
            // The job is done.
        }
        return rounds;
    }

    /// <summary>Milliseconds of the vCPU's thread.</summary>
    private async Task<double> TimeAsync(VirtualMachine machine, Job job, CancellationToken cancellation)
    {
        long before = ProcessorTime.OfOwnThread(VcpuThread);
        machine.TypeAtConsole(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{(long)(job.Count * options.Scale)} {job.Name}\n")));
        await AnswerAsync(machine, "@done", cancellation).ConfigureAwait(false);
        return (ProcessorTime.OfOwnThread(VcpuThread) - before) / 1e6;
    }

    private async Task AnswerAsync(VirtualMachine machine, string wanted, CancellationToken cancellation)
    {
        using CancellationTokenSource late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        late.CancelAfter(s_patience);
        StringBuilder line = new();
        try
        {
            while (true)
            {
                // One byte past the line's end would be the next answer's: none comes unasked.
                ConsoleChunk chunk = await machine.Console.ReadAsync(_read, 4096, late.Token).ConfigureAwait(false);
                _read = chunk.Offset + chunk.Bytes.Length;
                line.Append(Encoding.ASCII.GetString(chunk.Bytes));
                string text = line.ToString();
                int at = text.IndexOf(wanted, StringComparison.Ordinal);
                if (at >= 0 && text.IndexOf('\n', at) >= 0)
                    return;
                if (chunk.Ended)
                    throw new BenchmarkException("the machine ended before its answer");
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new BenchmarkException($"the machine in this process did not answer in {s_patience.TotalSeconds:0} s");
        }
    }
}
