using System.Globalization;
using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Translation;

namespace Godwit.Engine.Benchmarks;

/// <summary>
/// Boots Linux on the translator, types commands at its prompt, and prints which share of the instructions retired in
/// host code, with the instructions that led out of it. The guest is docs/linux-guest.md's.
/// </summary>
internal static class CoverageReport
{
    private const int Lines = 60;

    /// <summary>
    /// Arguments: whether times and templates are all that is wanted, vCPUs (of more than one, that is all there is, and
    /// the clock is the host's), MiB of templates where it is not the default, kernel, initramfs, and a command to type for
    /// each part to be reported; none: only the boot is.
    /// </summary>
    public static async Task<int> RunAsync(string[] args)
    {
        bool timed = args is ["--times", ..];
        if (timed)
            args = args[1..];
        int cpus = (int)(Number("--cpus", ref args) ?? 1);
        TranslationStore store = Number("--store", ref args) is { } mib ? new TranslationStore(mib << 20) : new TranslationStore();
        if (args.Length < 2)
        {
            await Console.Error.WriteLineAsync("Usage: Engine.Benchmarks coverage [--times] [--cpus N] [--store MIB] KERNEL INITRAMFS [COMMAND...]");
            return 2;
        }
        timed |= cpus > 1;
        TranslatorStatistics statistics = new();
        List<TranslatorBackend> backends = [];
        await using PromptedGuest guest = await PromptedGuest.StartAsync("coverage", args[0], args[1], cpus > 1 ? ClockMode.Host : ClockMode.InstructionCount, Make, cpus);
        MachineActor machine = guest.Machine;
        ulong before = 0;
        TemplateCounts earlier = default;
        TimeSpan busy = Environment.CpuUsage.TotalTime;
        foreach (string command in (string[])["", .. args[2..]])
        {
            await guest.ExecuteAsync(command);
            // Paused: the statistics are the vCPU thread's own.
            await machine.PauseAsync(default);
            ulong retired = (await machine.GetStatusAsync(default)).RetiredInstructions;
            Console.WriteLine($"== {(command.Length == 0 ? "boot" : command)}");
            if (!timed)
                Console.Write(statistics.Report(retired - before, Lines));
            TemplateCounts counts = TemplateCounts.Sum(backends.Select(backend => backend.Templates));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"templates: {counts.Made - earlier.Made:N0} made, {counts.Reused - earlier.Reused:N0} used again, {counts.Changed - earlier.Changed:N0} of code that has changed, {counts.Unfit - earlier.Unfit:N0} that did not fit; {(Environment.CpuUsage.TotalTime - busy).TotalSeconds:F2} s of processor time"));
            statistics.Restart();
            (before, earlier, busy) = (retired, counts, Environment.CpuUsage.TotalTime);
            await machine.RunAsync(default);
        }
        return 0;

        TranslatorBackend Make(Vcpu vcpu)
        {
            TranslatorBackend backend = new(vcpu, store: store) { Statistics = timed ? null : statistics };
            backends.Add(backend);
            return backend;
        }
    }

    private static long? Number(string option, ref string[] args)
    {
        if (args.Length < 2 || args[0] != option || !long.TryParse(args[1], NumberStyles.None, CultureInfo.InvariantCulture, out long number))
            return null;
        args = args[2..];
        return number;
    }
}
