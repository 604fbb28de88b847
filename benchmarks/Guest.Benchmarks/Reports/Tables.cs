using System.Globalization;
using Godwit.Guest.Benchmarks.Machines;

namespace Godwit.Guest.Benchmarks.Reports;

/// <summary>Turns results into tables, with what is asked for beside what is there.</summary>
internal static class Tables
{
    private const double MostOfNative = 2.0, LeastOfTcg = 2.5, NearNative = 1.3, LeastOfTcgForUsers = 3.0, MostDirtyLog = 0.05;

    private static readonly Dictionary<MachineKind, string> s_names = new()
    {
        [MachineKind.Native] = "native", [MachineKind.Translator] = "Godwit", [MachineKind.Interpreter] = "interpreter", [MachineKind.Qemu] = "QEMU",
    };

    public static IReadOnlyList<Table> Of(Results results)
    {
        List<Table> tables = [];
        foreach ((string suite, string title) in (ReadOnlySpan<(string, string)>)[("kernels", "Kernels, ms of processor time"), ("user", "Linux user space, ms of processor time")])
        {
            JobResult[] jobs = [.. results.Jobs.Where(job => job.Suite == suite)];
            if (jobs.Length > 0)
                tables.Add(Jobs(title, suite, jobs, results.Machines));
        }
        if (results.Boots.Count > 0)
            tables.Add(Boots(results.Boots));
        if (results.DirtyLog.Count > 0)
            tables.Add(DirtyLog(results.DirtyLog));
        return tables;
    }

    private static Table Jobs(string title, string suite, JobResult[] jobs, IReadOnlyList<MachineKind> machines)
    {
        bool both = machines.Contains(MachineKind.Translator) && machines.Contains(MachineKind.Qemu);
        MachineKind[] emulators = [.. machines.Where(kind => kind != MachineKind.Native)];
        List<string> columns = ["", .. machines.Select(kind => s_names[kind]), .. emulators.Select(kind => $"{s_names[kind]} / native")];
        if (both)
            columns.AddRange(["QEMU / Godwit", "asked"]);
        List<IReadOnlyList<string>> rows = [];
        foreach (JobResult job in jobs)
        {
            List<string> row = [job.Name, .. machines.Select(kind => Milliseconds(job, kind)), .. emulators.Select(kind => Ratio(job.Ratio(kind, MachineKind.Native)))];
            if (both)
                row.AddRange([Ratio(job.Ratio(MachineKind.Qemu, MachineKind.Translator)), Verdict(suite, job)]);
            if (!job.Agrees)
                row[0] += " (checksums differ!)";
            rows.Add(row);
        }
        List<string> means = ["geometric mean", .. machines.Select(_ => ""), .. emulators.Select(kind => Ratio(Mean(jobs, kind, MachineKind.Native)))];
        if (both)
        {
            double? native = Mean(jobs, MachineKind.Translator, MachineKind.Native), tcg = Mean(jobs, MachineKind.Qemu, MachineKind.Translator);
            means.AddRange([Ratio(tcg), suite == "kernels" ? YesNo(native <= MostOfNative, "≤ 2.0 native") : YesNo(tcg >= LeastOfTcgForUsers, "≥ 3.0")]);
        }
        rows.Add(means);
        return new Table(title, columns, rows);
    }

    private static Table Boots(IReadOnlyList<BootResult> boots)
    {
        double? qemu = boots.FirstOrDefault(boot => boot.Machine == MachineKind.Qemu)?.LeastCpu;
        return new Table("Boot of the stock kernel to power-off, process start included", ["", "least processor ms", "least wall ms", "runs", "QEMU / this"],
        [
            .. boots.Select(boot => (IReadOnlyList<string>)
            [
                s_names[boot.Machine], Number(boot.LeastCpu), Number(boot.Runs.Count == 0 ? null : boot.Runs.Min(run => run.WallMilliseconds)),
                boot.Runs.Count.ToString(CultureInfo.InvariantCulture), Ratio(qemu / boot.LeastCpu),
            ]),
        ]);
    }

    private static Table DirtyLog(IReadOnlyList<DirtyLogResult> results) =>
        new("Dirty logging, ms of the vCPU's thread; the log is collected every 100 ms", ["", "without", "with", "rounds", "cost", "asked"],
        [
            .. results.Select(result => (IReadOnlyList<string>)
            [
                result.Name, Number(result.PlainMilliseconds), Number(result.LoggedMilliseconds), result.Rounds.ToString(CultureInfo.InvariantCulture),
                string.Create(CultureInfo.InvariantCulture, $"{result.Overhead * 100:0.0} %"), YesNo(result.Overhead < MostDirtyLog, "< 5 %"),
            ]),
        ]);

    private static string Verdict(string suite, JobResult job)
    {
        if (job.Ratio(MachineKind.Qemu, MachineKind.Translator) is not { } tcg)
            return "";
        if (suite == "user")
            return YesNo(tcg >= 1, "≥ 1.0");
        bool bothNear = job.Ratio(MachineKind.Translator, MachineKind.Native) <= NearNative && job.Ratio(MachineKind.Qemu, MachineKind.Native) <= NearNative;
        return YesNo(tcg >= LeastOfTcg || bothNear, "≥ 2.5");
    }

    private static string YesNo(bool met, string asked) => met ? $"{asked}: yes" : $"{asked}: NO";

    private static double? Mean(JobResult[] jobs, MachineKind kind, MachineKind against)
    {
        double[] logarithms = [.. jobs.Select(job => job.Ratio(kind, against)).OfType<double>().Select(ratio => Math.Log(ratio))];
        return logarithms.Length == 0 ? null : Math.Exp(logarithms.Average());
    }

    private static string Milliseconds(JobResult job, MachineKind kind) =>
        job.Timings.TryGetValue(kind, out Timing? timing) ? timing is null ? "not in its CPU" : Number(timing.CpuMilliseconds) : "failed";

    private static string Number(double? value) => value is { } number ? number.ToString(number < 10 ? "0.00" : "0", CultureInfo.InvariantCulture) : "-";

    private static string Ratio(double? value) => value is { } number ? number.ToString("0.00", CultureInfo.InvariantCulture) : "-";
}
