using System.Diagnostics;
using System.Text;
using Godwit.Guest.Benchmarks.Machines;
using Godwit.Guest.Benchmarks.Reports;

namespace Godwit.Guest.Benchmarks.Suites;

/// <summary>Whole runs of the machines, start of the process and power-off of the guest included, by turns.</summary>
internal sealed class BootRunner(Machinery machinery, BenchmarkOptions options, Action<string> progress)
{
    public async Task<IReadOnlyList<BootResult>> RunAsync(CancellationToken cancellation)
    {
        MachineKind[] kinds = [.. options.Machines.Where(kind => kind != MachineKind.Native)];
        Dictionary<MachineKind, List<BootTiming>> runs = kinds.ToDictionary(kind => kind, _ => new List<BootTiming>());
        for (int repetition = 0; repetition < options.Repetitions; repetition++)
            foreach (MachineKind kind in kinds)
            {
                // What did not come up in all its attempts is not waited for again.
                if (runs[kind].Count < repetition)
                    continue;
                if (await BootAsync(kind, cancellation).ConfigureAwait(false) is { } timing)
                {
                    runs[kind].Add(timing);
                    progress($"boot {kind}: {timing.CpuMilliseconds:0} ms of processor, {timing.WallMilliseconds:0} ms");
                }
            }
        return [.. kinds.Select(kind => new BootResult(kind, runs[kind]))];
    }

    private async Task<BootTiming?> BootAsync(MachineKind kind, CancellationToken cancellation)
    {
        for (int attempt = 1; attempt <= Machinery.Attempts; attempt++)
        {
            if (await OnceAsync(kind, cancellation).ConfigureAwait(false) is { } timing)
                return timing;
            machinery.Note($"{kind} did not boot and power off in {Machinery.BootPatience.TotalSeconds:0} s (attempt {attempt})");
        }
        return null;
    }

    private async Task<BootTiming?> OnceAsync(MachineKind kind, CancellationToken cancellation)
    {
        TimeSpan before = ProcessorTime.OfEndedChildren();
        long start = Stopwatch.GetTimestamp();
        using Process process = AgentProcess.Start(MachineCommands.Create(kind, machinery.Workshop, machinery.Workshop.Initrd, "godwit.poweroff"));
        StringBuilder console = new();
        using CancellationTokenSource late = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        late.CancelAfter(Machinery.BootPatience);
        Task errors = process.StandardError.BaseStream.CopyToAsync(Stream.Null, cancellation);
        try
        {
            console.Append(await process.StandardOutput.ReadToEndAsync(late.Token).ConfigureAwait(false));
            await process.WaitForExitAsync(late.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync(CancellationToken.None).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
            return null;
        }
        TimeSpan wall = Stopwatch.GetElapsedTime(start);
        await errors.ConfigureAwait(false);
        return console.ToString().Contains("godwit: power off", StringComparison.Ordinal)
            ? new BootTiming((ProcessorTime.OfEndedChildren() - before).TotalMilliseconds, wall.TotalMilliseconds)
            : null;
    }
}
