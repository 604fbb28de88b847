using System.Globalization;
using System.Text;
using Godwit.Engine.Cpu;
using Godwit.Engine.Host;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Machine;
using Godwit.Engine.Translation;

namespace Godwit.Engine.Benchmarks;

/// <summary>
/// Boots Linux on the translator under the host's clock, types commands at its prompt, and prints how late timers fired at
/// most, and the longest that the guest stood still for its code to be decoded, translated, evicted or dropped.
/// </summary>
internal static class StallReport
{
    private const string Prompt = "godwit:/root# ";

    /// <summary>Arguments: MiB of decoded code and of host code, kernel, initramfs, and commands to type.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length < 4 || !long.TryParse(args[0], CultureInfo.InvariantCulture, out long codeMib) || !long.TryParse(args[1], CultureInfo.InvariantCulture, out long nativeMib))
        {
            await Console.Error.WriteLineAsync("Usage: Engine.Benchmarks stalls CODE-MIB HOST-CODE-MIB KERNEL INITRAMFS [COMMAND...]");
            return 2;
        }
        // The first boot compiles the engine's own code, which is as long a pause as any; the second one counts.
        await BootAsync(args, codeMib, nativeMib, report: false);
        await BootAsync(args, codeMib, nativeMib, report: true);
        return 0;
    }

    private static async Task BootAsync(string[] args, long codeMib, long nativeMib, bool report)
    {
        BootImages images = new(await File.ReadAllBytesAsync(args[2]), await File.ReadAllBytesAsync(args[3]));
        MachineSpec spec = MachineSpecs.Create(256 << 20, 1, ClockMode.Host, "vmlinuz", images.Kernel, "initramfs", "console=ttyS0 cryptomgr.notests panic=-1");
        TimedBackend? timed = null;
        await using MachineActor machine = new("stalls", null, vcpu => timed = new TimedBackend(new TranslatorBackend(vcpu, codeMib << 20, nativeMib << 20) { CountsProcessorTime = true }));
        await machine.CreateAsync(spec, images, default);
        machine.Grant(1, long.MaxValue);
        await machine.RunAsync(default);
        StringBuilder text = new();
        long offset = 0;
        foreach (string command in (string[])["", .. args[4..]])
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
            if (!report)
                continue;
            await machine.PauseAsync(default);
            TimerDelays delays = (await machine.GetStatusAsync(default)).TimerDelays;
            TranslatorBackend backend = timed!.Inner;
            Console.WriteLine($"== {(command.Length == 0 ? "boot" : command)}");
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"timers late by {delays.Longest / 1000.0:F0} us at most, {delays.OverMillisecond} times by a millisecond; evicted {backend.Evicted}"));
            Console.WriteLine(timed.Report());
            foreach (CodeWork work in Enum.GetValues<CodeWork>())
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{work,14} {backend.Longest(work).TotalMicroseconds,10:F0} us"));
            await machine.RunAsync(default);
        }
    }

    /// <summary>Notes how much processor time slices take: as long may a timer wait.</summary>
    private sealed class TimedBackend(TranslatorBackend inner) : IVcpuBackend
    {
        private readonly long[] _over = new long[4];
        private long _slices, _longest;

        public TranslatorBackend Inner => inner;

        public VcpuExit Run(long budget) => inner.Run(budget);

        public VcpuExit RunSlice(long budget)
        {
            long began = HostThread.CpuNanoseconds;
            VcpuExit exit = inner.RunSlice(budget);
            long took = HostThread.CpuNanoseconds - began;
            _slices++;
            _longest = Math.Max(_longest, took);
            for (int i = 0, limit = 250_000; i < _over.Length && took > limit; i++, limit *= 2)
                _over[i]++;
            return exit;
        }

        public void Reset() => inner.Reset();

        public void Dispose() => inner.Dispose();

        public string Report() => string.Create(CultureInfo.InvariantCulture,
            $"{_slices:N0} slices, the longest {_longest / 1000} us of processor time; {_over[0]} over 250 us, {_over[1]} over 500, {_over[2]} over 1000, {_over[3]} over 2000");
    }
}
