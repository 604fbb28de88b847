using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>A vCPU with RAM, a bus and an interpreter, and nothing else: code at <see cref="Code"/>, stack below <see cref="StackTop"/>.</summary>
internal sealed unsafe class TestMachine : IDisposable
{
    public const ulong Code = 0x10_0000, Data = 0x20_0000, StackTop = 0x30_0000, Tables = 0x1000, Idt = 0x8000, Gdt = 0x9000;
    public const ushort Kernel64 = 0x08, KernelData = 0x10, Kernel32 = 0x18;

    public TestMachine(int bitness, CpuLevel level = CpuLevel.V1, ulong memory = 8 << 20, long codeBytes = 4 << 20, Func<Vcpu, IVcpuBackend>? backend = null,
        IVcpuServices? services = null)
    {
        Memory = new GuestMemory(memory);
        Bus = new Bus();
        Interrupts = new TestInterrupts();
        Vcpu = new Vcpu(Memory, Bus, Interrupts, new TestClock(this), services ?? new TestServices(level));
        Backend = backend is null ? new InterpreterBackend(Vcpu, codeBytes) : backend(Vcpu);
        Bitness = bitness;
        CpuReset.Apply(ref State);
        if (bitness == 64)
        {
            MapIdentity();
            CpuReset.EnterFlat64(ref State, Code, Tables, Kernel64, KernelData);
        }
        else
            CpuReset.EnterFlat32(ref State, Code, Kernel32, KernelData);
        State.Gpr[Gpr.RSP] = StackTop;
        Write(Gdt, 0ul, 0x00af_9b00_0000_fffful, 0x00cf_9300_0000_fffful, 0x00cf_9b00_0000_fffful);
        State.Gdtr = new DescriptorTable { Base = Gdt, Limit = 0x1f };
        State.Idtr = new DescriptorTable { Base = Idt, Limit = 0xfff };
    }

    public int Bitness { get; }

    public GuestMemory Memory { get; }

    public Bus Bus { get; }

    public TestInterrupts Interrupts { get; }

    public Vcpu Vcpu { get; }

    public IVcpuBackend Backend { get; private set; }

    public VcpuContext* Context => Vcpu.Context;

    public ref CpuState State => ref Vcpu.Context->State;

    /// <summary>Goes on with another back end from here.</summary>
    public void Switch(Func<Vcpu, IVcpuBackend> backend)
    {
        Backend.Dispose();
        Backend = backend(Vcpu);
    }

    /// <summary>Assembles code and puts it at an address; returns its bytes.</summary>
    public byte[] Load(Action<Assembler> write, ulong address = Code)
    {
        Assembler assembler = new(Bitness);
        write(assembler);
        MemoryStream stream = new();
        assembler.Assemble(new StreamCodeWriter(stream), address);
        byte[] bytes = stream.ToArray();
        Assert.True(Memory.TryWrite(new GuestPhysicalAddress(address), bytes));
        return bytes;
    }

    public void Write(ulong address, params ulong[] values)
    {
        foreach (ulong value in values)
        {
            Assert.True(Memory.TryWrite(new GuestPhysicalAddress(address), BitConverter.GetBytes(value)));
            address += 8;
        }
    }

    public ulong Read(ulong address)
    {
        Span<byte> bytes = stackalloc byte[8];
        Assert.True(Memory.TryRead(new GuestPhysicalAddress(address), bytes));
        return BitConverter.ToUInt64(bytes);
    }

    /// <summary>Points a vector at a handler (a 64-bit interrupt gate, ring 0).</summary>
    public void SetHandler(int vector, ulong handler)
    {
        ulong low = (handler & 0xffff) | (ulong)Kernel64 << 16 | 0x8e00ul << 32 | (handler >> 16 & 0xffff) << 48;
        Write(Idt + (ulong)vector * 16, low, handler >> 32);
    }

    /// <summary>Runs until HLT; fails when it does not come within the budget.</summary>
    public void RunToHalt(long budget = 10_000_000)
    {
        while (budget > 0)
        {
            ulong before = State.RetiredInstructions;
            VcpuExit exit = Backend.Run(budget);
            budget -= (long)(State.RetiredInstructions - before);
            if (exit == VcpuExit.Halted)
                return;
            Assert.True(exit == VcpuExit.Interrupted, $"{exit} at RIP 0x{State.Rip:x}, CR2 0x{State.Cr2:x}");
        }
        Assert.Fail($"no HLT; RIP 0x{State.Rip:x}");
    }

    public void Dispose()
    {
        Backend.Dispose();
        Vcpu.Dispose();
        Memory.Dispose();
    }

    /// <summary>The first GiB in 2 MiB pages, user-accessible and writable.</summary>
    private void MapIdentity()
    {
        Write(Tables, Tables + 0x1007);
        Write(Tables + 0x1000, Tables + 0x2007);
        for (ulong i = 0; i < 512; i++)
            Write(Tables + 0x2000 + i * 8, i << 21 | 0x87);
    }

    private sealed class TestServices(CpuLevel level) : IVcpuServices
    {
        public CpuidResult Cpuid(uint leaf, uint subleaf) => CpuidModel.Query(level, leaf, subleaf);

        public bool ReadMsr(uint index, out ulong value)
        {
            value = 0;
            return false;
        }

        public bool WriteMsr(uint index, ulong value) => false;

        public void Hypercall(Vcpu vcpu)
        {
        }

        public ulong Random() => 4;
    }

    private sealed class TestClock(TestMachine machine) : IGuestClock
    {
        public ulong Nanoseconds => machine.State.RetiredInstructions;

        public ulong Tsc => machine.State.RetiredInstructions;

        public ulong TscHz => 1_000_000_000;

        public ulong WallNanoseconds => machine.State.RetiredInstructions;
    }
}

/// <summary>An interrupt controller that holds one vector at most.</summary>
internal sealed class TestInterrupts : IInterruptController
{
    private int _vector = -1;
    private bool _nmi;

    public bool HasInterrupt => _vector >= 0;

    public byte TaskPriority { get; set; }

    public void Raise(int vector) => _vector = vector;

    public void RaiseNmi() => _nmi = true;

    public bool TakeNmi()
    {
        bool nmi = _nmi;
        _nmi = false;
        return nmi;
    }

    public int Acknowledge()
    {
        int vector = _vector;
        _vector = -1;
        return vector;
    }

    public bool ReadMsr(uint index, out ulong value)
    {
        value = 0;
        return false;
    }

    public bool WriteMsr(uint index, ulong value) => false;
}
