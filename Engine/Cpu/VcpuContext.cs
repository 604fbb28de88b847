using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Godwit.Engine.Cpu;

/// <summary>A fault an instruction met: a value, never an exception. Vector 0xff: none.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct Fault
{
    public const byte None = 0xff;

    public byte Vector;
    public bool HasErrorCode;
    public uint ErrorCode;

    /// <summary>What CR2 becomes for a page fault.</summary>
    public ulong Address;
}

/// <summary>Why a back end stopped executing guest code.</summary>
public enum VcpuExit
{
    /// <summary>The instruction budget is used up, or someone asked the vCPU to look up (a kick): state is at an instruction boundary.</summary>
    Interrupted,

    /// <summary>HLT with no event waiting.</summary>
    Halted,

    /// <summary>A hypercall waits for the host (Ready); no guest code runs until it is completed.</summary>
    Parked,

    /// <summary>Triple fault.</summary>
    Shutdown,

    /// <summary>A device ended the machine (power-off, reset, debug exit).</summary>
    MachineEnded,
}

/// <summary>
/// One vCPU's state with what its running back end keeps beside it. Native memory; the state comes first.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct VcpuContext
{
    public CpuState State;

    /// <summary>
    /// Lazy status flags of the last instruction that set them. Result: sign-extended to 64 bits, ZF is Result == 0.
    /// Aux: bit 31 CF, bit 30 CF xor OF (the carry into the sign bit), bit 3 AF, bit 0 inverts SF, bits 8-15 are
    /// xor-ed into the low byte of Result before its parity is taken.
    /// </summary>
    public ulong FlagResult;

    public uint FlagAux;

    /// <summary>Always 0: the base or index of an address that has none, and the base of flat segments.</summary>
    public ulong Zero;

    /// <summary>The software TLB bank for the current privilege (see Engine/Memory and Interpreter).</summary>
    public void* Tlb;

    /// <summary>The interpreter's indirect branch targets for the current privilege and code size.</summary>
    public void* JumpCache;

    /// <summary>
    /// What <see cref="Tlb"/> and <see cref="JumpCache"/> become where translated code changes the privilege or EFLAGS.AC: a
    /// supervisor's, a supervisor's under EFLAGS.AC, and a user's (null: there is none yet). Right as long as nothing changes
    /// that ends a block in the interpreter.
    /// </summary>
    public void* TlbSupervisor, TlbOverride, TlbUser, JumpsSupervisor, JumpsUser;

    /// <summary>Not 0: an interrupt waits, or may, for RFLAGS.IF. One that comes later asks for an exit.</summary>
    public byte EventHeld;

    /// <summary>Not 0: translated code has changed the privilege or EFLAGS.AC, and the interpreter has not heard of it.</summary>
    public byte NativeSwitched;

    /// <summary>Not 0: leave guest code at the next safe point. Set from any thread, cleared by the vCPU.</summary>
    public int ExitRequest;

    /// <summary>Instructions that may still be started before the back end must return.</summary>
    public long Budget;

    /// <summary>The fault that the instruction being executed met.</summary>
    public Fault Fault;

    /// <summary>Why the running back end is to stop, where the instruction just executed demands it; -1 while none does.</summary>
    public int PendingExit;

    /// <summary>A GCHandle to the <see cref="Vcpu"/> that this context belongs to.</summary>
    public nint Owner;

    /// <summary>
    /// The status flags on the way into translated code and out of it: OF in bit 0; SF, ZF, AF, PF and CF in bits 8-15
    /// as LAHF has them.
    /// </summary>
    public ushort NativeFlags;

    /// <summary>The link by which translated code was left; 0: none.</summary>
    public uint NativeLink;

    /// <summary>Not 0 while translated code has the vector registers and MXCSR in the host's; never while C# runs.</summary>
    public byte NativeVectors;

    /// <summary>The host's MXCSR while the guest's is loaded.</summary>
    public uint HostMxcsr;

    /// <summary>Translated code's own: RIP and code that a call goes to, while its return address is pushed.</summary>
    public ulong NativeTarget, NativeTargetCode;

    /// <summary>Translated code's own: the host addresses of groups of memory operands.</summary>
    public fixed ulong NativeGroups[16];

    /// <summary>Translated code's own: the TLB entries that a loop goes on with.</summary>
    public fixed ulong NativeSlots[24];

    /// <summary>The linear address that translated code did not find in the TLB, what it tells of the access, and where it goes on.</summary>
    public ulong NativeMiss, NativeMissRecord, NativeResume;

    /// <summary>What <see cref="NativeVectors"/> was then.</summary>
    public byte NativeMissVectors;

    /// <summary>The way into translated code.</summary>
    public void* NativeEntry;

    /// <summary>Slow ways gone, for who looks at the clock now and then.</summary>
    public uint SlowSteps;

    public const uint AuxCarry = 1u << 31, AuxPartialOverflow = 1u << 30, AuxAdjust = 1u << 3, AuxSignInvert = 1u << 0;

    /// <summary>RFLAGS with the lazy status flags made definite.</summary>
    public readonly ulong GetRflags()
    {
        uint aux = FlagAux;
        ulong flags = State.Rflags & ~Rflags.Arithmetic;
        flags |= aux >> 31;
        flags |= ((aux >> 31) ^ ((aux >> 30) & 1)) << 11;
        flags |= (aux & AuxAdjust) << 1;
        if (FlagResult == 0)
            flags |= Rflags.ZF;
        flags |= ((FlagResult >> 63) ^ (aux & AuxSignInvert)) << 7;
        uint parity = (byte)FlagResult ^ ((aux >> 8) & 0xff);
        if ((System.Numerics.BitOperations.PopCount(parity) & 1) == 0)
            flags |= Rflags.PF;
        return flags;
    }

    /// <summary>Sets all of RFLAGS, the status flags included. No privilege checks.</summary>
    public void SetRflags(ulong value)
    {
        State.Rflags = (value & 0x3f7fd5) | Rflags.Reserved1;
        SetArithmetic(value);
    }

    /// <summary>Sets the six status flags from their RFLAGS bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void SetArithmetic(ulong flags)
    {
        // ZF needs Result 0; otherwise Result 1 with SF and PF corrected through Aux.
        ulong result = (flags & Rflags.ZF) != 0 ? 0ul : 1ul;
        uint aux = (uint)(flags & Rflags.CF) << 31;
        aux |= (uint)(((flags >> 11) ^ flags) & 1) << 30;
        aux |= (uint)(flags & Rflags.AF) >> 1;
        aux |= (uint)(flags >> 7) & 1;
        bool odd = result != 0;
        bool wantOdd = (flags & Rflags.PF) == 0;
        if (odd != wantOdd)
            aux |= 1u << 8;
        FlagResult = result;
        FlagAux = aux;
    }

    /// <summary>Records a fault with no error code.</summary>
    public bool Raise(Vector vector)
    {
        Fault = new Fault { Vector = (byte)vector };
        return false;
    }

    /// <summary>Records a fault with an error code. Returns false, so that callers can return it.</summary>
    public bool Raise(Vector vector, uint errorCode)
    {
        Fault = new Fault { Vector = (byte)vector, HasErrorCode = true, ErrorCode = errorCode };
        return false;
    }

    /// <summary>Records a page fault.</summary>
    public bool RaisePageFault(ulong address, uint errorCode)
    {
        Fault = new Fault { Vector = (byte)Vector.PF, HasErrorCode = true, ErrorCode = errorCode, Address = address };
        return false;
    }
}
