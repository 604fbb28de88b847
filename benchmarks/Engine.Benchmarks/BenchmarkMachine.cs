using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Translation;
using Iced.Intel;

namespace Godwit.Engine.Benchmarks;

/// <summary>A vCPU in 64-bit mode with paging, and nothing else.</summary>
internal sealed unsafe class BenchmarkMachine : IDisposable
{
    public const ulong Code = 0x10_0000, Data = 0x200_0000, StackTop = 0x100_0000;
    private const ulong Tables = 0x1000;

    public BenchmarkMachine(Action<Assembler> write, bool translated)
    {
        Memory = new GuestMemory(64 << 20);
        Vcpu = new Vcpu(Memory, new Bus(), new NoInterrupts(), new NoClock(), new Services());
        Backend = translated ? new TranslatorBackend(Vcpu) : new InterpreterBackend(Vcpu);
        Write(Tables, Tables + 0x1003);
        Write(Tables + 0x1000, Tables + 0x2003);
        for (ulong i = 0; i < 32; i++)
            Write(Tables + 0x2000 + i * 8, i << 21 | 0x83);
        Assembler assembler = new(64);
        write(assembler);
        MemoryStream code = new();
        assembler.Assemble(new StreamCodeWriter(code), Code);
        Memory.TryWrite(new GuestPhysicalAddress(Code), code.ToArray());
        CpuReset.Apply(ref Vcpu.Context->State);
        CpuReset.EnterFlat64(ref Vcpu.Context->State, Code, Tables, 8, 16);
        Vcpu.Context->State.Gpr[Gpr.RSP] = StackTop;
    }

    public GuestMemory Memory { get; }

    public Vcpu Vcpu { get; }

    public IVcpuBackend Backend { get; }

    public void Dispose()
    {
        Backend.Dispose();
        Vcpu.Dispose();
        Memory.Dispose();
    }

    private void Write(ulong address, ulong value) => Memory.TryWrite(new GuestPhysicalAddress(address), BitConverter.GetBytes(value));

    private sealed class Services : IVcpuServices
    {
        public CpuidResult Cpuid(uint leaf, uint subleaf) => CpuidModel.Query(CpuLevels.Highest, leaf, subleaf);

        public bool ReadMsr(uint index, out ulong value)
        {
            value = 0;
            return false;
        }

        public bool WriteMsr(uint index, ulong value) => false;

        public void Hypercall(Vcpu vcpu)
        {
        }

        public ulong Random() => 0;
    }

    private sealed class NoClock : IGuestClock
    {
        public ulong Nanoseconds => 0;

        public ulong Tsc => 0;

        public ulong TscHz => 1_000_000_000;

        public ulong WallNanoseconds => 0;
    }

    private sealed class NoInterrupts : IInterruptController
    {
        public bool HasInterrupt => false;

        public byte TaskPriority { get; set; }

        public bool TakeNmi() => false;

        public int Acknowledge() => -1;

        public bool ReadMsr(uint index, out ulong value)
        {
            value = 0;
            return false;
        }

        public bool WriteMsr(uint index, ulong value) => false;
    }
}
