using System.Diagnostics;
using System.Globalization;
using System.Runtime;
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
    /// <summary>Arguments: MiB of decoded code and of host code, kernel, initramfs, and commands to type.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        if (args.Length < 4 || !long.TryParse(args[0], CultureInfo.InvariantCulture, out long codeMib) || !long.TryParse(args[1], CultureInfo.InvariantCulture, out long nativeMib))
        {
            await Console.Error.WriteLineAsync("Usage: Engine.Benchmarks stalls CODE-MIB HOST-CODE-MIB KERNEL INITRAMFS [COMMAND...]");
            return 2;
        }
        // In the first boot what has not been precompiled is compiled, which is as long a pause as any.
        Console.WriteLine("The process's first boot");
        await BootAsync(args[..4], codeMib, nativeMib);
        Console.WriteLine("The second");
        await BootAsync(args, codeMib, nativeMib);
        return 0;
    }

    private static async Task BootAsync(string[] args, long codeMib, long nativeMib)
    {
        TimedBackend? timed = null;
        await using PromptedGuest guest = await PromptedGuest.StartAsync("stalls", args[2], args[3], ClockMode.Host, vcpu => timed = new TimedBackend(new TranslatorBackend(vcpu, codeMib << 20, nativeMib << 20) { CountsProcessorTime = true }, vcpu));
        MachineActor machine = guest.Machine;
        foreach (string command in (string[])["", .. args[4..]])
        {
            await guest.ExecuteAsync(command);
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

    /// <summary>Notes how much processor time slices take, as long may a timer wait, and what the longest of them did.</summary>
    private sealed class TimedBackend(TranslatorBackend inner, Vcpu vcpu) : IVcpuBackend
    {
        private const int Kept = 24;

        private readonly long[] _over = new long[4];
        private readonly PriorityQueue<string, long> _longest = new();
        private readonly double[] _work = new double[Enum.GetValues<CodeWork>().Length];
        private long _slices, _allocated;

        public TranslatorBackend Inner => inner;

        public VcpuExit Run(long budget) => inner.Run(budget);

        public VcpuExit RunSlice(long budget)
        {
            for (int i = 0; i < _work.Length; i++)
                _work[i] = inner.Total((CodeWork)i).TotalMicroseconds;
            ulong retired = vcpu.State.RetiredInstructions;
            long faults = HostThread.PageFaults, compiled = JitInfo.GetCompiledMethodCount(currentThread: true);
            TimeSpan compiling = JitInfo.GetCompilationTime(currentThread: true), collecting = GC.GetTotalPauseDuration();
            long allocated = GC.GetAllocatedBytesForCurrentThread();
            long wall = Stopwatch.GetTimestamp(), began = HostThread.CpuNanoseconds;
            VcpuExit exit = inner.RunSlice(budget);
            long took = HostThread.CpuNanoseconds - began;
            _slices++;
            _allocated += GC.GetAllocatedBytesForCurrentThread() - allocated;
            for (int i = 0, limit = 250_000; i < _over.Length && took > limit; i++, limit *= 2)
                _over[i]++;
            if (_longest.Count == Kept && _longest.TryPeek(out _, out long least) && took <= least)
                return exit;
            string what = string.Create(CultureInfo.InvariantCulture,
                $"{took / 1000,6} us ({Stopwatch.GetElapsedTime(wall).TotalMicroseconds:F0} of wall time): {vcpu.State.RetiredInstructions - retired} of {budget} instructions, {HostThread.PageFaults - faults} page faults, "
                + $"{JitInfo.GetCompiledMethodCount(currentThread: true) - compiled} methods compiled in {(JitInfo.GetCompilationTime(currentThread: true) - compiling).TotalMicroseconds:F0} us, collections {(GC.GetTotalPauseDuration() - collecting).TotalMicroseconds:F0} us");
            for (int i = 0; i < _work.Length; i++)
                what += string.Create(CultureInfo.InvariantCulture, $", {(CodeWork)i} {inner.Total((CodeWork)i).TotalMicroseconds - _work[i]:F0}");
            if (_longest.Count < Kept)
                _longest.Enqueue(what, took);
            else
                _longest.EnqueueDequeue(what, took);
            return exit;
        }

        public void Reset() => inner.Reset();

        public void Dispose() => inner.Dispose();

        public string Report() => string.Create(CultureInfo.InvariantCulture,
            $"{_slices:N0} slices, {_allocated >> 10:N0} KiB of objects; processor time of {_over[0]} over 250 us, {_over[1]} over 500, {_over[2]} over 1000, {_over[3]} over 2000; the longest:\n")
            + string.Join('\n', _longest.UnorderedItems.OrderByDescending(slice => slice.Priority).Select(slice => slice.Element));
    }
}
