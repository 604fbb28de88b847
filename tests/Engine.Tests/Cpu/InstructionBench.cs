using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Interpreter;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

/// <summary>A <see cref="CpuBench"/> whose instructions the interpreter executes.</summary>
internal sealed unsafe class InstructionBench : IDisposable
{
    public const ulong Code = 0x2_0000;

    private readonly InterpreterBackend _backend;

    public InstructionBench()
    {
        Cpu = new CpuBench();
        _backend = new InterpreterBackend(Cpu.Vcpu, 4 << 20);
    }

    public CpuBench Cpu { get; }

    public ref CpuState State => ref Cpu.State;

    /// <summary>64-bit kernel code at <see cref="Code"/>; the handler of each exception stores its vector in R15 and halts.</summary>
    public static InstructionBench Long()
    {
        InstructionBench bench = new();
        bench.Cpu.EnterLong();
        for (int vector = 0; vector < 32; vector++)
        {
            int number = vector;
            bench.Cpu.SetGate64(vector);
            bench.Load(64, CpuBench.Handler(vector), a =>
            {
                a.mov(AssemblerRegisters.r15d, number | 0x100);
                a.hlt();
            });
        }
        bench.State.Rip = Code;
        return bench;
    }

    public static InstructionBench Protected()
    {
        InstructionBench bench = new();
        bench.Cpu.EnterProtected();
        for (int vector = 0; vector < 32; vector++)
        {
            int number = vector;
            bench.Cpu.SetGate32(vector);
            bench.Load(32, CpuBench.Handler(vector), a =>
            {
                a.mov(AssemblerRegisters.edi, number | 0x100);
                a.hlt();
            });
        }
        bench.State.Rip = Code;
        return bench;
    }

    public void Load(int bitness, ulong address, Action<Assembler> write, ulong? rip = null)
    {
        Assembler assembler = new(bitness);
        write(assembler);
        MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), rip ?? address);
        Assert.True(Cpu.Memory.TryWrite(new(address), stream.ToArray()));
    }

    public VcpuExit Run(long budget = 100_000) => _backend.Run(budget);

    /// <summary>Runs code to its HLT; R15 (EDI in protected mode) says which exception ended it, if one did.</summary>
    public void Execute(int bitness, Action<Assembler> write)
    {
        Load(bitness, Code, a =>
        {
            write(a);
            a.hlt();
        });
        Assert.Equal(VcpuExit.Halted, Run());
    }

    /// <summary>The vector that ended 64-bit code, -1 where none did.</summary>
    public int Vector => State.Gpr[15] >= 0x100 && State.Gpr[15] < 0x200 ? (int)State.Gpr[15] - 0x100 : -1;

    public void Dispose()
    {
        _backend.Dispose();
        Cpu.Dispose();
    }
}

/// <summary>Ports that record writes and answer reads with a running number.</summary>
internal sealed class RecordingPorts : IPortDevice
{
    private uint _next = 0xa0;

    public List<(int Offset, int Size, uint Value)> Writes { get; } = [];

    public int Reads { get; private set; }

    public Action? OnWrite { get; init; }

    public uint ReadPort(int offset, int size)
    {
        Reads++;
        return _next++ & (uint.MaxValue >> (32 - size * 8));
    }

    public void WritePort(int offset, int size, uint value)
    {
        Writes.Add((offset, size, value));
        OnWrite?.Invoke();
    }
}
