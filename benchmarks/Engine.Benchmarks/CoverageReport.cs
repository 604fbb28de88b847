using System.Text;
using Godwit.Engine.Machine;
using Godwit.Engine.Translation;

namespace Godwit.Engine.Benchmarks;

/// <summary>
/// Boots Linux on the translator, types commands at its prompt, and prints which share of the instructions retired in
/// host code, with the instructions that led out of it. The guest is docs/linux-guest.md's.
/// </summary>
internal static class CoverageReport
{
    private const string Prompt = "godwit:/root# ";
    private const int Lines = 60;

    /// <summary>Arguments: kernel, initramfs, and a command to type for each part to be reported; none: only the boot is.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length < 2)
        {
            await Console.Error.WriteLineAsync("Usage: Engine.Benchmarks coverage KERNEL INITRAMFS [COMMAND...]");
            return 2;
        }
        BootImages images = new(await File.ReadAllBytesAsync(args[0]), await File.ReadAllBytesAsync(args[1]));
        MachineSpec spec = MachineSpecs.Create(256 << 20, 1, ClockMode.InstructionCount, "vmlinuz", images.Kernel, "initramfs", "console=ttyS0 cryptomgr.notests panic=-1");
        TranslatorStatistics statistics = new();
        await using MachineActor machine = new("coverage", null, vcpu => new TranslatorBackend(vcpu) { Statistics = statistics });
        await machine.CreateAsync(spec, images, default);
        machine.Grant(1, long.MaxValue);
        await machine.RunAsync(default);
        StringBuilder text = new();
        long offset = 0;
        ulong before = 0;
        foreach (string command in (string[])["", .. args[2..]])
        {
            if (command.Length != 0)
                await machine.WriteConsoleAsync(Encoding.ASCII.GetBytes(command + "\n"), default);
            text.Clear();
            while (!text.ToString().Contains(Prompt, StringComparison.Ordinal))
            {
                ConsoleChunk chunk = await machine.ReadConsoleAsync(offset, 65536, default);
                offset = chunk.Offset + chunk.Bytes.Length;
                text.Append(Encoding.Latin1.GetString(chunk.Bytes));
                if (chunk.Ended)
                    throw new InvalidOperationException($"the guest ended: {text}");
            }
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
