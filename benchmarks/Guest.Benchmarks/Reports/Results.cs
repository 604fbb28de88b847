using System.Globalization;
using Godwit.Guest.Benchmarks.Machines;

namespace Godwit.Guest.Benchmarks.Reports;

/// <summary>Least times of one job on one machine, milliseconds.</summary>
/// <param name="CpuMilliseconds">Processor time of the machine's process.</param>
/// <param name="ElapsedMilliseconds">By the machine's own clock.</param>
internal sealed record Timing(double CpuMilliseconds, double ElapsedMilliseconds);

/// <param name="Agrees">Every machine computed the same checksum, every time.</param>
/// <param name="Timings">Null where the machine's processor lacks what the job needs; missing where the machine failed.</param>
internal sealed record JobResult(string Suite, string Name, long Count, bool Agrees, IReadOnlyDictionary<MachineKind, Timing?> Timings)
{
    public string Line => $"{Name}: {string.Join(", ", Timings.Select(t => string.Create(CultureInfo.InvariantCulture, $"{t.Key} {t.Value?.CpuMilliseconds ?? double.NaN:0.0} ms")))}{(Agrees ? "" : " CHECKSUMS DIFFER")}";

    public double? Cpu(MachineKind kind) => Timings.GetValueOrDefault(kind)?.CpuMilliseconds;

    /// <summary>How many times as long a machine takes as another.</summary>
    public double? Ratio(MachineKind kind, MachineKind against) => Cpu(kind) / Cpu(against);
}

internal sealed record BootTiming(double CpuMilliseconds, double WallMilliseconds);

/// <summary>Runs from the start of the process to the guest's power-off.</summary>
internal sealed record BootResult(MachineKind Machine, IReadOnlyList<BootTiming> Runs)
{
    public double? LeastCpu => Runs.Count == 0 ? null : Runs.Min(run => run.CpuMilliseconds);
}

/// <summary>Milliseconds of the vCPU's thread for a job without and with an open and collected dirty log.</summary>
internal sealed record DirtyLogResult(string Name, double PlainMilliseconds, double LoggedMilliseconds, int Rounds)
{
    public double Overhead => LoggedMilliseconds / PlainMilliseconds - 1;
}

/// <summary>All that was measured in one run.</summary>
internal sealed record Results(DateTime At, IReadOnlyList<MachineKind> Machines, IReadOnlyList<JobResult> Jobs, IReadOnlyList<BootResult> Boots, IReadOnlyList<DirtyLogResult> DirtyLog, IReadOnlyList<string> Notes)
{
    public bool Agrees => Jobs.All(job => job.Agrees);
}
