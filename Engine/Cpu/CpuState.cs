using System.Runtime.InteropServices;

namespace Godwit.Engine.Cpu;

/// <summary>
/// The architectural state of one vCPU, the same for every back end. It lives in native memory, so that translated code
/// can reach it; a back end may stop at any instruction boundary and another go on from here.
/// Control register 8 and the APIC MSRs belong to the local APIC, the TSC to the machine's clock.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct CpuState
{
    /// <summary>RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15, by encoding.</summary>
    public fixed ulong Gpr[16];

    public ulong Rip;

    /// <summary>
    /// RFLAGS. While the interpreter runs, CF, PF, AF, ZF, SF and OF are kept lazily in <see cref="VcpuContext"/>;
    /// read and write the whole through <see cref="VcpuContext.GetRflags"/> and <see cref="VcpuContext.SetRflags"/>.
    /// </summary>
    public ulong Rflags;

    /// <summary>In the order of their encoding: ES 0, CS 1, SS 2, DS 3, FS 4, GS 5.</summary>
    public Segment Es, Cs, Ss, Ds, Fs, Gs;

    public Segment Ldtr, Tr;

    public DescriptorTable Gdtr, Idtr;

    public ulong Cr0, Cr2, Cr3, Cr4, Xcr0;

    public ulong Dr0, Dr1, Dr2, Dr3, Dr6, Dr7;

    public ulong Efer, Star, Lstar, Cstar, Fmask, KernelGsBase;

    public ulong SysenterCs, SysenterEsp, SysenterEip;

    public ulong Pat, TscAux, MiscEnable;

    /// <summary>IA32_SPEC_CTRL and IA32_MTRR_DEF_TYPE: held for the guest; neither changes how it runs.</summary>
    public ulong SpecControl, MtrrDefaultType;

    /// <summary>What the guest wrote to IA32_TSC_ADJUST and, through IA32_TSC, added to the machine's TSC.</summary>
    public ulong TscAdjust;

    /// <summary>x87 data registers R0 to R7 (physical, not relative to TOP): 64-bit significand, then sign and exponent in the low 16 bits of the next 8 bytes.</summary>
    public fixed ulong X87[16];

    public ushort X87Control, X87Status;

    /// <summary>Abridged tag word as FXSAVE stores it: bit i set when physical register i is in use.</summary>
    public byte X87Tag;

    public ushort X87Opcode;

    public ulong X87InstructionPointer, X87DataPointer;

    public uint Mxcsr;

    /// <summary>YMM0 to YMM15, 32 bytes each; XMM registers are their low halves.</summary>
    public fixed byte Vector[16 * 32];

    /// <summary>HLT was executed and no event has ended it.</summary>
    public bool Halted;

    /// <summary>The next instruction runs before any interrupt (after STI, MOV SS, POP SS).</summary>
    public bool InterruptShadow;

    /// <summary>NMIs are blocked until IRET.</summary>
    public bool NmiBlocked;

    /// <summary>An NMI waits.</summary>
    public bool NmiPending;

    /// <summary>Guest instructions completed since the machine was made.</summary>
    public ulong RetiredInstructions;

    /// <summary>Current privilege level: the DPL of SS, 0 in real mode.</summary>
    public readonly int Cpl => (Ss.Attributes >> 5) & 3;

    public readonly bool ProtectedMode => (Cr0 & Cpu.Cr0.PE) != 0;

    public readonly bool Paging => (Cr0 & Cpu.Cr0.PG) != 0;

    /// <summary>IA-32e mode is active (EFER.LMA), 64-bit or compatibility.</summary>
    public readonly bool LongMode => (Efer & Cpu.Efer.LMA) != 0;

    /// <summary>64-bit mode: IA-32e active and CS.L set.</summary>
    public readonly bool Mode64 => LongMode && (Cs.Attributes & Segment.L) != 0;
}

/// <summary>A segment register with its hidden part.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct Segment
{
    /// <summary>Attribute bits, laid out as bits 8-15 and 20-23 of a descriptor's second dword, shifted right by 8 (Intel SDM 3A, 3.4.5; the VMCS access-rights format).</summary>
    public const ushort Accessed = 1 << 0, Writable = 1 << 1, Expand = 1 << 2, Code = 1 << 3, S = 1 << 4, P = 1 << 7, L = 1 << 13, DB = 1 << 14, G = 1 << 15;

    public ulong Base;

    /// <summary>In bytes, granularity already applied: the last valid offset.</summary>
    public uint Limit;

    public ushort Selector;

    /// <summary>Type in bits 0-3, S 4, DPL 5-6, P 7, AVL 12, L 13, D/B 14, G 15.</summary>
    public ushort Attributes;
}

/// <summary>GDTR or IDTR.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct DescriptorTable
{
    public ulong Base;
    public ushort Limit;
}
