using System.Globalization;
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
    /// Arguments: whether only times and templates are wanted, MiB of templates where it is not the default, kernel, initramfs, and a command to type for each
    /// part to be reported; none: only the boot is.
    /// </summary>
    public static async Task<int> RunAsync(string[] args)
    {
        TranslationStore store = new();
        bool timed = args is ["--times", ..];
        if (timed)
            args = args[1..];
        if (args is ["--store", string mib, ..] && long.TryParse(mib, NumberStyles.None, CultureInfo.InvariantCulture, out long size))
        {
            store = new TranslationStore(size << 20);
            args = args[2..];
        }
        if (args.Length < 2)
        {
            await Console.Error.WriteLineAsync("Usage: Engine.Benchmarks coverage [--times] [--store MIB] KERNEL INITRAMFS [COMMAND...]");
            return 2;
        }
        TranslatorStatistics statistics = new();
        TranslatorBackend? backend = null;
        await using PromptedGuest guest = await PromptedGuest.StartAsync(
            "coverage", args[0], args[1], ClockMode.InstructionCount, vcpu => backend = new TranslatorBackend(vcpu, store: store) { Statistics = timed ? null : statistics });
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
            TemplateCounts counts = backend!.Templates;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"templates: {counts.Made - earlier.Made:N0} made, {counts.Reused - earlier.Reused:N0} used again, {counts.Changed - earlier.Changed:N0} of code that has changed, {counts.Unfit - earlier.Unfit:N0} that did not fit; {(Environment.CpuUsage.TotalTime - busy).TotalSeconds:F2} s of processor time"));
            statistics.Restart();
            (before, earlier, busy) = (retired, counts, Environment.CpuUsage.TotalTime);
            await machine.RunAsync(default);
        }
        return 0;
    }
}
