using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

/// <summary>An interrupt controller that holds one interrupt and one NMI.</summary>
internal sealed class FakeInterrupts : IInterruptController
{
    public int Waiting { get; set; } = -1;

    public bool Nmi { get; set; }

    public Dictionary<uint, ulong> Registers { get; } = new() { [0x1b] = 0xfee0_0900 };

    public bool HasInterrupt => Waiting >= 0;

    public byte TaskPriority { get; set; }

    public bool TakeNmi()
    {
        bool nmi = Nmi;
        Nmi = false;
        return nmi;
    }

    public int Acknowledge()
    {
        int vector = Waiting;
        Waiting = -1;
        return vector;
    }

    public bool ReadMsr(uint index, out ulong value) => Registers.TryGetValue(index, out value);

    public bool WriteMsr(uint index, ulong value)
    {
        Registers[index] = value;
        return true;
    }
}

internal sealed class FixedClock : IGuestClock
{
    public ulong Nanoseconds { get; set; }

    public ulong Tsc { get; set; }

    public ulong TscHz => 1_000_000_000;

    public ulong WallNanoseconds { get; set; }
}

internal sealed class FakeServices : IVcpuServices
{
    public Dictionary<uint, ulong> Registers { get; } = [];

    public List<ulong> Hypercalls { get; } = [];

    public CpuidResult Cpuid(uint leaf, uint subleaf) => CpuidModel.Query(CpuLevel.V1, leaf, subleaf);

    public bool ReadMsr(uint index, out ulong value) => Registers.TryGetValue(index, out value);

    public bool WriteMsr(uint index, ulong value)
    {
        if (!Registers.ContainsKey(index))
            return false;
        Registers[index] = value;
        return true;
    }

    public unsafe void Hypercall(Vcpu vcpu)
    {
        Hypercalls.Add(vcpu.Context->State.Gpr[Gpr.RAX]);
        vcpu.Context->State.Gpr[Gpr.RAX] = 0x1234;
    }

    public ulong Random() => 0x0123_4567_89ab_cdef;
}

/// <summary>Counts what the CPU tells a back end.</summary>
internal sealed class RecordingCaches : ITranslationCache, ICodeWatcher
{
    public HashSet<ulong> CodePages { get; } = [];

    public List<(ulong Address, int Length)> Writes { get; } = [];

    public int AllFlushes { get; private set; }

    public int NonGlobalFlushes { get; private set; }

    public void FlushAll() => AllFlushes++;

    /// <summary>What was asked for of single PCIDs, in order.</summary>
    public List<string> Spaces { get; } = [];

    public void FlushNonGlobal() => NonGlobalFlushes++;

    public void FlushNonGlobal(int pcid) => Spaces.Add($"flush {pcid}");

    public void Enter(int pcid) => Spaces.Add($"enter {pcid}");

    public void FlushPage(ulong linear)
    {
    }

    public void FlushPage(ulong linear, int pcid)
    {
    }

    public void RevokeWritePermissions()
    {
    }

    public void RevokeWritePermission(PageNumber page)
    {
    }

    public bool IsCode(PageNumber page) => CodePages.Contains(page.Value);

    public void Written(GuestPhysicalAddress address, int length) => Writes.Add((address.Value, length));
}

/// <summary>A vCPU over a few MiB of RAM, with the tables that tests need.</summary>
internal sealed unsafe class CpuBench : IDisposable
{
    public const ulong Gdt = 0x1000, Idt = 0x2000, Tss = 0x3000, Ldt = 0x4000, Tables = 0x10_0000;
    public const ulong UserStack = 0x7000, KernelStack = 0x8000, IstStack = 0x9000, Handlers = 0x1_0000;

    // Selectors, in the order that SYSCALL and SYSRET want.
    public const ushort KernelCode = 0x08, KernelData = 0x10, UserCode32 = 0x1b, UserData = 0x23, UserCode64 = 0x2b, TaskSelector = 0x40;

    public CpuBench(ulong bytes = 4 << 20)
    {
        Memory = new GuestMemory(bytes);
        Vcpu = new Vcpu(Memory, Bus, Interrupts, Clock, Services);
        CpuReset.Apply(ref Vcpu.Context->State);
    }

    public GuestMemory Memory { get; }

    public Bus Bus { get; } = new();

    public FakeInterrupts Interrupts { get; } = new();

    public FixedClock Clock { get; } = new();

    public FakeServices Services { get; } = new();

    public Vcpu Vcpu { get; }

    public VcpuContext* C => Vcpu.Context;

    public ref CpuState State => ref Vcpu.Context->State;

    public Fault Fault => C->Fault;

    public void ClearFault() => C->Fault = new Fault { Vector = Fault.None };

    public void Write<T>(ulong physical, T value)
        where T : unmanaged => Assert.True(Memory.TryWrite(new GuestPhysicalAddress(physical), new ReadOnlySpan<byte>(&value, sizeof(T))));

    public T Read<T>(ulong physical)
        where T : unmanaged
    {
        T value = default;
        Assert.True(Memory.TryRead(new GuestPhysicalAddress(physical), new Span<byte>(&value, sizeof(T))));
        return value;
    }

    /// <summary>A code or data descriptor. Access: P, DPL, S, type; flags: G 8, D/B 4, L 2.</summary>
    public static ulong Descriptor(byte access, byte flags, uint @base = 0, uint limit = 0xf_ffff) =>
        (limit & 0xffff) | (ulong)(@base & 0xff_ffff) << 16 | (ulong)access << 40 | (ulong)(limit >> 16 & 0xf) << 48 | (ulong)flags << 52 | (ulong)(@base >> 24) << 56;

    public void SetDescriptor(ushort selector, ulong descriptor) => Write(Gdt + (selector & 0xfff8u), descriptor);

    /// <summary>The GDT of both protected and long mode; code descriptors for 64-bit where long.</summary>
    private void BuildGdt(bool longMode)
    {
        byte code = (byte)(longMode ? 0xa : 0xc);
        SetDescriptor(KernelCode, Descriptor(0x9b, code));
        SetDescriptor(KernelData, Descriptor(0x93, 0xc));
        SetDescriptor(UserCode32, Descriptor(0xfb, 0xc));
        SetDescriptor(UserData, Descriptor(0xf3, 0xc));
        SetDescriptor(UserCode64, Descriptor(0xfb, code));
        State.Gdtr = new DescriptorTable { Base = Gdt, Limit = 0xfff };
        State.Idtr = new DescriptorTable { Base = Idt, Limit = 0xfff };
    }

    /// <summary>Flat 64-bit kernel mode; the first 4 MiB (and more) mapped one to one, user-accessible, by 2 MiB pages.</summary>
    public void EnterLong()
    {
        BuildGdt(longMode: true);
        Write(Tables, Tables + 0x1000 | 7);
        Write(Tables + 0x1000, Tables + 0x2000 | 7);
        for (uint i = 0; i < 8; i++)
            Write(Tables + 0x2000 + i * 8, (ulong)i << 21 | 0xe7);
        CpuReset.EnterFlat64(ref State, Handlers, Tables, KernelCode, KernelData);
        State.Gpr[Gpr.RSP] = KernelStack;
        State.Tr = new Segment { Base = Tss, Limit = 0x67, Selector = TaskSelector, Attributes = Segment.P | 0xb };
        Write(Tss + 4, KernelStack);
        Write(Tss + 0x24, IstStack);
    }

    /// <summary>Flat 32-bit kernel mode without paging.</summary>
    public void EnterProtected()
    {
        BuildGdt(longMode: false);
        CpuReset.EnterFlat32(ref State, Handlers, KernelCode, KernelData);
        State.Gpr[Gpr.RSP] = KernelStack;
        State.Tr = new Segment { Base = Tss, Limit = 0x67, Selector = TaskSelector, Attributes = Segment.P | 0xb };
        SetDescriptor(TaskSelector, Descriptor(0x8b, 0, (uint)Tss, 0x67));
        Write(Tss + 4, (uint)KernelStack);
        Write(Tss + 8, (uint)KernelData);
    }

    /// <summary>Drops to user mode with the tables as they are.</summary>
    public void DropToUser(bool code64 = true)
    {
        State.Cs = new Descriptor(Read<ulong>(Gdt + ((code64 ? UserCode64 : UserCode32) & 0xfff8u))).ToSegment(code64 ? UserCode64 : UserCode32);
        State.Ss = new Descriptor(Read<ulong>(Gdt + (UserData & 0xfff8u))).ToSegment(UserData);
        State.Gpr[Gpr.RSP] = UserStack;
    }

    /// <summary>A 64-bit gate to the handler address of its vector. Type 14 interrupt, 15 trap.</summary>
    public void SetGate64(int vector, int type = 14, int dpl = 0, int ist = 0, ushort selector = KernelCode)
    {
        ulong target = Handler(vector);
        Write(Idt + (ulong)vector * 16, (target & 0xffff) | (ulong)selector << 16 | (ulong)ist << 32 | (ulong)(0x80 | dpl << 5 | type) << 40 | (target >> 16 & 0xffff) << 48);
        Write(Idt + (ulong)vector * 16 + 8, target >> 32);
    }

    public void SetGate32(int vector, int type = 14, int dpl = 0, ushort selector = KernelCode)
    {
        ulong target = Handler(vector);
        Write(Idt + (ulong)vector * 8, (target & 0xffff) | (ulong)selector << 16 | (ulong)(0x80 | dpl << 5 | type) << 40 | (target >> 16 & 0xffff) << 48);
    }

    public static ulong Handler(int vector) => Handlers + (ulong)vector * 16;

    public void Dispose()
    {
        Vcpu.Dispose();
        Memory.Dispose();
    }
}
