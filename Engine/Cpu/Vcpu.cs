using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Cpu;

/// <summary>What a vCPU asks of its machine beside memory and bus.</summary>
public interface IVcpuServices
{
    /// <summary>A CPUID leaf of the machine's model, paravirtual ranges included; state-dependent bits (OSXSAVE, APIC) are filled in by the vCPU.</summary>
    CpuidResult Cpuid(uint leaf, uint subleaf);

    /// <summary>MSRs beyond the architectural ones in CpuState and the APIC's (paravirtual MSRs). False: #GP.</summary>
    bool ReadMsr(uint index, out ulong value);

    bool WriteMsr(uint index, ulong value);

    /// <summary>VMCALL or VMMCALL; registers are in the vCPU. May ask for <see cref="VcpuExit.Parked"/> through <see cref="Vcpu.RequestExit"/>.</summary>
    void Hypercall(Vcpu vcpu);

    /// <summary>The host TSC-like random source for RDRAND; deterministic under icount.</summary>
    ulong Random();
}

public readonly record struct CpuidResult(uint Eax, uint Ebx, uint Ecx, uint Edx);

/// <summary>One virtual processor: its context in native memory and the parts of the machine that its instructions reach.</summary>
public sealed unsafe class Vcpu : IDisposable
{
    private GCHandle _handle;

    public Vcpu(GuestMemory memory, Bus bus, IInterruptController interrupts, IGuestClock clock, IVcpuServices services)
    {
        Memory = memory;
        Bus = bus;
        Interrupts = interrupts;
        Clock = clock;
        Services = services;
        Context = (VcpuContext*)NativeMemory.AlignedAlloc((nuint)sizeof(VcpuContext), 64);
        NativeMemory.Clear(Context, (nuint)sizeof(VcpuContext));
        _handle = GCHandle.Alloc(this);
        Context->Owner = GCHandle.ToIntPtr(_handle);
        Context->Fault.Vector = Fault.None;
        Context->PendingExit = -1;
    }

    public VcpuContext* Context { get; private set; }

    /// <summary>The vCPU's number in its machine, from 0; its initial APIC ID.</summary>
    public int Index { get; init; }

    public GuestMemory Memory { get; }

    public Bus Bus { get; }

    public IInterruptController Interrupts { get; }

    public IGuestClock Clock { get; }

    public IVcpuServices Services { get; }

    /// <summary>The running back end's translation cache; set by the back end when it is attached.</summary>
    public ITranslationCache Translations { get; set; } = NoCaches.Instance;

    /// <summary>The running back end's decoded code; set by the back end when it is attached.</summary>
    public ICodeWatcher Code { get; set; } = NoCaches.Instance;

    /// <summary>The vCPU's place among the others of its machine; null: it is alone.</summary>
    public SafePoints.Seat? Seat { get; set; }

    /// <summary>The architectural state, for those who may not touch it while the back end runs: loaders, the machine.</summary>
    public ref CpuState State => ref Context->State;

    /// <summary>A general register, by its encoding.</summary>
    public ulong this[int register]
    {
        get => Context->State.Gpr[register & 15];
        set => Context->State.Gpr[register & 15] = value;
    }

    /// <summary>The saved state of the vCPU, which does not run.</summary>
    public VcpuState SaveState() => VcpuStates.Capture(Context);

    /// <summary>Replaces the state of the vCPU, which does not run. Throws <see cref="InvalidStateException"/>.</summary>
    public void LoadState(VcpuState state) => VcpuStates.Restore(Context, state);

    /// <summary>The vCPU that a context belongs to.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vcpu Of(VcpuContext* context) => Unsafe.As<Vcpu>(GCHandle.FromIntPtr(context->Owner).Target!);

    /// <summary>Asks the running back end to return at the next safe point. Any thread.</summary>
    public void Kick() => Volatile.Write(ref Context->ExitRequest, 1);

    /// <summary>Called from within an instruction (a port write, a hypercall): the back end returns this exit after it.</summary>
    public void RequestExit(VcpuExit exit)
    {
        Context->PendingExit = (int)exit;
        Kick();
    }

    public void Dispose()
    {
        if (Context == null)
            return;
        NativeMemory.AlignedFree(Context);
        Context = null;
        _handle.Free();
    }
}

/// <summary>Executes guest code on a vCPU's state.</summary>
public interface IVcpuBackend : IDisposable
{
    /// <summary>
    /// Delivers what is pending, then runs until the budget is used up, the vCPU is kicked, or the guest demands an
    /// exit. On return the state is architectural, RFLAGS included, at an instruction boundary: a safe point.
    /// Exactly <paramref name="budget"/> instructions are retired unless another exit comes first.
    /// </summary>
    VcpuExit Run(long budget);

    /// <summary>
    /// The same where nothing depends on the instruction at which it ends: at most the budget is retired, and it ends where
    /// going on later costs least. The budget is far longer than a block.
    /// </summary>
    VcpuExit RunSlice(long budget) => Run(budget);

    /// <summary>Drops everything cached: state or RAM were replaced.</summary>
    void Reset();
}
