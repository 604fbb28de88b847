using Godwit.Engine.Cpu;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Benchmarks;

/// <summary>Instructions a second of the interpreter on small kernels. Each runs forever; a warm-up precedes the timed run. Times are of the processor, so that a busy host does not blur them.</summary>
internal static unsafe class InterpreterBenchmark
{
    private static readonly (string Name, Action<Assembler> Write)[] _kernels =
    [
        ("integer", Integer), ("branchy", Branchy), ("call/ret", Calls), ("copy loop", CopyLoop), ("pointer chase", Chase), ("rep movsq (MB/s)", RepMovs),
    ];

    /// <summary>Arguments: the instructions to time for each kernel, in millions (default 300).</summary>
    public static int Run(string[] args)
    {
        Console.WriteLine($"{"M instructions/s",-18} {"interpreter",12} {"translator",12} {"ratio",8}");
        long instructions = (args.Length > 0 ? long.Parse(args[0]) : 300) * 1_000_000;
        foreach ((string name, Action<Assembler> write) in _kernels)
        {
            bool bytes = name.Contains("MB/s");
            long count = bytes ? instructions / 1000 : instructions;
            double unit = bytes ? 0x1000 / 5.0 : 1;
            double interpreted = Measure(write, translated: false, count) * unit, translated = Measure(write, translated: true, count) * unit;
            Console.WriteLine($"{name,-18} {interpreted,12:F1} {translated,12:F1} {translated / interpreted,8:F2}");
        }
        return 0;
    }

    /// <summary>Millions of instructions a second.</summary>
    private static double Measure(Action<Assembler> write, bool translated, long count)
    {
        using BenchmarkMachine machine = new(write, translated);
        Execute(machine, count / 4);
        TimeSpan start = Environment.CpuUsage.TotalTime;
        Execute(machine, count);
        return count / (Environment.CpuUsage.TotalTime - start).TotalSeconds / 1e6;
    }

    private static void Execute(BenchmarkMachine machine, long instructions)
    {
        ref CpuState state = ref machine.Vcpu.Context->State;
        ulong end = state.RetiredInstructions + (ulong)instructions;
        while (state.RetiredInstructions < end)
        {
            VcpuExit exit = machine.Backend.Run((long)(end - state.RetiredInstructions));
            if (exit != VcpuExit.Interrupted)
                throw new InvalidOperationException($"{exit} at RIP 0x{state.Rip:x}");
        }
    }

    /// <summary>A xorshift generator with a running sum.</summary>
    private static void Integer(Assembler a)
    {
        Label top = a.CreateLabel();
        a.mov(rax, 0x1234_5678_9abc_def1);
        a.Label(ref top);
        a.mov(rdx, rax);
        a.shl(rdx, 13);
        a.xor(rax, rdx);
        a.mov(rdx, rax);
        a.shr(rdx, 7);
        a.xor(rax, rdx);
        a.add(rbx, rax);
        a.lea(rcx, __[rbx + rax * 2 + 5]);
        a.sub(rsi, rcx);
        a.inc(edi);
        a.cmp(edi, -1);
        a.jne(top);
        a.jmp(top);
    }

    /// <summary>Data-dependent branches that the host cannot foresee.</summary>
    private static void Branchy(Assembler a)
    {
        Label top = a.CreateLabel(), one = a.CreateLabel(), two = a.CreateLabel(), end = a.CreateLabel();
        a.mov(eax, 12345);
        a.Label(ref top);
        a.imul(eax, eax, 1664525);
        a.add(eax, 1013904223);
        a.test(eax, 0x0010_0000);
        a.jz(one);
        a.inc(ebx);
        a.Label(ref one);
        a.test(eax, 0x0400_0000);
        a.jnz(two);
        a.add(ecx, 3);
        a.jmp(end);
        a.Label(ref two);
        a.sub(ecx, 5);
        a.Label(ref end);
        a.cmp(ecx, 1000);
        a.jg(top);
        a.jmp(top);
    }

    private static void Calls(Assembler a)
    {
        Label top = a.CreateLabel(), outer = a.CreateLabel(), inner = a.CreateLabel();
        a.Label(ref top);
        a.mov(edi, 5);
        a.call(outer);
        a.add(ebx, eax);
        a.jmp(top);
        a.Label(ref outer);
        a.push(rbp);
        a.mov(rbp, rsp);
        a.push(rdi);
        a.call(inner);
        a.pop(rdi);
        a.add(eax, edi);
        a.pop(rbp);
        a.ret();
        a.Label(ref inner);
        a.lea(eax, __[rdi + 1]);
        a.ret();
    }

    /// <summary>64 KiB copied eight bytes at a time.</summary>
    private static void CopyLoop(Assembler a)
    {
        Label top = a.CreateLabel(), loop = a.CreateLabel();
        a.Label(ref top);
        a.mov(rsi, BenchmarkMachine.Data);
        a.lea(rdi, __[rsi + 0x1_0000]);
        a.mov(ecx, 0x2000);
        a.Label(ref loop);
        a.mov(rax, __qword_ptr[rsi]);
        a.mov(__qword_ptr[rdi], rax);
        a.add(rsi, 8);
        a.add(rdi, 8);
        a.dec(ecx);
        a.jnz(loop);
        a.jmp(top);
    }

    /// <summary>Loads whose addresses depend on each other, over 2 MiB.</summary>
    private static void Chase(Assembler a)
    {
        Label top = a.CreateLabel();
        a.mov(rbx, BenchmarkMachine.Data);
        a.Label(ref top);
        a.mov(rdx, __qword_ptr[rbx + rax]);
        a.lea(rax, __[rax + rdx + 0x1040]);
        a.and(eax, 0x1f_ffc0);
        a.inc(ecx);
        a.jmp(top);
    }

    /// <summary>Pages copied by string moves; five instructions for each.</summary>
    private static void RepMovs(Assembler a)
    {
        Label top = a.CreateLabel();
        a.Label(ref top);
        a.mov(esi, (uint)BenchmarkMachine.Data);
        a.mov(edi, (uint)BenchmarkMachine.Data + 0x1000);
        a.mov(ecx, 0x200);
        a.rep.movsq();
        a.jmp(top);
    }
}
