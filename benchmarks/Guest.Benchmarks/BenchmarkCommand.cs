using System.CommandLine;
using System.Globalization;
using Godwit.Cli.Guest;
using Godwit.Engine.Machine;
using Godwit.Guest.Benchmarks.Machines;
using Godwit.Guest.Benchmarks.Reports;
using Godwit.Guest.Benchmarks.Suites;

namespace Godwit.Guest.Benchmarks;

/// <summary>The command line: what to measure, and how to print it.</summary>
internal static class BenchmarkCommand
{
    private static readonly string[] s_suites = ["kernels", "user", "boot", "dirty"];

    public static Task<int> RunAsync(string[] args)
    {
        Option<string[]> suites = new("--suite") { Description = "kernels, user, boot or dirty; may be repeated (default: all)", DefaultValueFactory = _ => s_suites, AllowMultipleArgumentsPerToken = true };
        suites.AcceptOnlyFromAmong(s_suites);
        Option<bool> interpreter = new("--interpreter") { Description = "Measure Godwit's interpreter, too" };
        Option<bool> noQemu = new("--no-qemu") { Description = "Leave QEMU out" };
        Option<bool> noTranslator = new("--no-translator") { Description = "Leave Godwit's translator out" };
        Option<int> repetitions = new("--repetitions") { Description = "Turns of each job; the least time counts", DefaultValueFactory = _ => 3 };
        Option<double> scale = new("--scale") { Description = "Multiplies every job's work", DefaultValueFactory = _ => 1 };
        Option<string?> only = new("--only") { Description = "Only jobs whose name contains this" };
        Option<bool> markdown = new("--markdown") { Description = "Print tables for docs/performance.md" };
        Option<bool> json = new("--json") { Description = "Print one JSON object" };
        RootCommand command = new("Compares the host's processor, Godwit and QEMU's TCG by processor time, by turns in one run: kernels, Linux user space, boot, dirty logging.")
        {
            suites, interpreter, noTranslator, noQemu, repetitions, scale, only, markdown, json,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            List<MachineKind> machines = [MachineKind.Native];
            if (!parsed.GetValue(noTranslator))
                machines.Add(MachineKind.Translator);
            if (parsed.GetValue(interpreter))
                machines.Add(MachineKind.Interpreter);
            if (!parsed.GetValue(noQemu))
                machines.Add(MachineKind.Qemu);
            BenchmarkOptions options = new()
            {
                Suites = parsed.GetValue(suites)!,
                Machines = machines,
                Repetitions = Math.Max(1, parsed.GetValue(repetitions)),
                Scale = parsed.GetValue(scale),
                Only = parsed.GetValue(only),
            };
            try
            {
                Results results = await MeasureAsync(options, cancellation).ConfigureAwait(false);
                Console.Write(parsed.GetValue(json) ? JsonReport.Write(results) : parsed.GetValue(markdown) ? MarkdownReport.Write(results) : TextReport.Write(results));
                return results.Agrees ? 0 : 1;
            }
            catch (Exception problem) when (problem is BenchmarkException or GuestFetchException or MachineException)
            {
                await Console.Error.WriteLineAsync($"benchmark: {problem.Message}").ConfigureAwait(false);
                return 1;
            }
        });
        return command.Parse(args).InvokeAsync();
    }

    private static async Task<Results> MeasureAsync(BenchmarkOptions options, CancellationToken cancellation)
    {
        // Progress goes to standard error: the tables alone are the output.
        static void Progress(string line) => Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:HH:mm:ss} {line}"));
        using Workshop workshop = await Workshop.CreateAsync(cancellation).ConfigureAwait(false);
        List<JobResult> jobs = [];
        List<BootResult> boots = [];
        List<DirtyLogResult> dirty = [];
        Machinery machinery = new(workshop);
        IReadOnlyList<Job> wanted = JobList.Select(options);
        if (wanted.Count > 0)
            jobs.AddRange(await new SuiteRunner(machinery, options, Progress).RunAsync(wanted, cancellation).ConfigureAwait(false));
        if (options.Suites.Contains("boot"))
            boots.AddRange(await new BootRunner(machinery, options, Progress).RunAsync(cancellation).ConfigureAwait(false));
        if (options.Suites.Contains("dirty"))
            dirty.AddRange(await new DirtyLogRunner(workshop, options, Progress).RunAsync(cancellation).ConfigureAwait(false));
        return new Results(DateTime.UtcNow, options.Machines, jobs, boots, dirty, machinery.Notes);
    }
}
