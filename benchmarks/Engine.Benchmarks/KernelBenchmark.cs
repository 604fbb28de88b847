using System.Runtime.Intrinsics.X86;
using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Benchmarks;

/// <summary>
/// Times kernels natively, translated and interpreted, in processor time for a round, and compares what they leave in
/// memory. The ratios say what a guest pays.
/// </summary>
internal static unsafe class KernelBenchmark
{
    private const double Seconds = 0.3;

    /// <summary>Rounds before time is taken.</summary>
    private const int WarmUp = 100;

    private static IEnumerable<Kernel> Kernels => Fma.IsSupported && Avx2.IsSupported ? [.. VectorKernels.All, .. AvxKernels.All] : VectorKernels.All;

    /// <summary>Arguments: parts of names; none: all kernels.</summary>
    public static int Run(string[] args)
    {
        Console.WriteLine($"{"microseconds a round",-24} {"native",10} {"translator",12} {"interpreter",12} {"translator/native",18} {"interpreter/native",19}");
        double product = 1;
        int count = 0;
        foreach (Kernel kernel in Kernels.Where(kernel => args.Length == 0 || args.Any(kernel.Name.Contains)))
        {
            using NativeKernel native = new(kernel);
            double once = Time(native.Run);
            using BenchmarkMachine translated = Guest(kernel, translated: true), interpreted = Guest(kernel, translated: false);
            double translatedTime = Time(rounds => Execute(translated, rounds)), interpretedTime = Time(rounds => Execute(interpreted, rounds));
            Compare(kernel);
            Console.WriteLine($"{kernel.Name,-24} {once * 1e6,10:F2} {translatedTime * 1e6,12:F2} {interpretedTime * 1e6,12:F1} {translatedTime / once,18:F2} {interpretedTime / once,19:F1}");
            product *= translatedTime / once;
            count++;
        }
        Console.WriteLine($"geometric mean of translator/native: {Math.Pow(product, 1.0 / count):F2}");
        return 0;
    }

    /// <summary>Processor seconds for a round: the best of three runs of as many as fill the time.</summary>
    private static double Time(Action<long> run)
    {
        // The first runs compile and translate.
        run(WarmUp);
        run(WarmUp);
        long rounds = 1;
        double time;
        while ((time = Once(run, rounds)) < Seconds / 8)
            rounds *= 2;
        rounds = Math.Max(1, (long)(rounds * Seconds / time));
        return Enumerable.Range(0, 3).Min(_ => Once(run, rounds)) / rounds;
    }

    private static double Once(Action<long> run, long rounds)
    {
        TimeSpan start = Environment.CpuUsage.TotalTime;
        run(rounds);
        return (Environment.CpuUsage.TotalTime - start).TotalSeconds;
    }

    /// <summary>The same rounds leave the same data natively and in the guest.</summary>
    private static void Compare(Kernel kernel)
    {
        const int Rounds = 300;
        using NativeKernel native = new(kernel);
        native.Run(Rounds);
        using BenchmarkMachine guest = Guest(kernel, translated: true);
        Execute(guest, Rounds);
        byte[] data = new byte[Kernel.DataBytes];
        guest.Memory.TryRead(new GuestPhysicalAddress(BenchmarkMachine.Data), data);
        if (!native.Result.SequenceEqual(data))
            throw new InvalidOperationException($"{kernel.Name}: the guest's result is not the host's");
    }

    internal static BenchmarkMachine Guest(Kernel kernel, bool translated)
    {
        BenchmarkMachine machine = new(a =>
        {
            a.mov(rbx, BenchmarkMachine.Data);
            kernel.WriteAll(a, a => a.hlt());
        }, translated);
        machine.Vcpu.Context->State.Cr4 |= Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.OSXSAVE;
        machine.Vcpu.Context->State.Xcr0 = Xcr0.X87 | Xcr0.Sse | Xcr0.Avx;
        machine.Memory.TryWrite(new GuestPhysicalAddress(BenchmarkMachine.Data), Kernel.Data());
        return machine;
    }

    internal static void Execute(BenchmarkMachine machine, long rounds)
    {
        ref CpuState state = ref machine.Vcpu.Context->State;
        machine.Memory.TryWrite(new GuestPhysicalAddress(BenchmarkMachine.Data + Kernel.Rounds), BitConverter.GetBytes(rounds));
        state.Rip = BenchmarkMachine.Code;
        state.Halted = false;
        VcpuExit exit;
        do
            exit = machine.Backend.Run(long.MaxValue);
        while (exit == VcpuExit.Interrupted);
        if (exit != VcpuExit.Halted)
            throw new InvalidOperationException($"{exit} at RIP 0x{state.Rip:x}");
    }
}
