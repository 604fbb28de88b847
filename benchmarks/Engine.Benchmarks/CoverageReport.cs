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

    /// <summary>Arguments: kernel, initramfs, and a command to type for each part to be reported; none: only the boot is.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length < 2)
        {
            await Console.Error.WriteLineAsync("Usage: Engine.Benchmarks coverage KERNEL INITRAMFS [COMMAND...]");
            return 2;
        }
        TranslatorStatistics statistics = new();
        await using PromptedGuest guest = await PromptedGuest.StartAsync("coverage", args[0], args[1], ClockMode.InstructionCount, vcpu => new TranslatorBackend(vcpu) { Statistics = statistics });
        MachineActor machine = guest.Machine;
        ulong before = 0;
        foreach (string command in (string[])["", .. args[2..]])
        {
            await guest.ExecuteAsync(command);
            // Paused: the statistics are the vCPU thread's own.
            await machine.PauseAsync(default);
            ulong retired = (await machine.GetStatusAsync(default)).RetiredInstructions;
            Console.WriteLine($"== {(command.Length == 0 ? "boot" : command)}");
            Console.Write(statistics.Report(retired - before, Lines));
            statistics.Restart();
            before = retired;
            await machine.RunAsync(default);
        }
        return 0;
    }
}
