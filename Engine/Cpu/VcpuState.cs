using MessagePack;

namespace Godwit.Engine.Cpu;

/// <summary>
/// Saved state of one vCPU: everything of <see cref="CpuState"/>, field by field, at an instruction boundary. Control
/// register 8 and the APIC's MSRs are in the APIC's record. Keys are append-only.
/// </summary>
[MessagePackObject]
public sealed record VcpuState
{
    /// <summary>RAX to R15 by encoding.</summary>
    [Key(0)]
    public required ulong[] Gpr { get; init; }

    [Key(1)]
    public required ulong Rip { get; init; }

    /// <summary>All of RFLAGS, status flags definite.</summary>
    [Key(2)]
    public required ulong Rflags { get; init; }

    [Key(3)]
    public required SegmentState Es { get; init; }

    [Key(4)]
    public required SegmentState Cs { get; init; }

    [Key(5)]
    public required SegmentState Ss { get; init; }

    [Key(6)]
    public required SegmentState Ds { get; init; }

    [Key(7)]
    public required SegmentState Fs { get; init; }

    [Key(8)]
    public required SegmentState Gs { get; init; }

    [Key(9)]
    public required SegmentState Ldtr { get; init; }

    [Key(10)]
    public required SegmentState Tr { get; init; }

    [Key(11)]
    public required DescriptorTableState Gdtr { get; init; }

    [Key(12)]
    public required DescriptorTableState Idtr { get; init; }

    [Key(13)]
    public required ulong Cr0 { get; init; }

    [Key(14)]
    public required ulong Cr2 { get; init; }

    [Key(15)]
    public required ulong Cr3 { get; init; }

    [Key(16)]
    public required ulong Cr4 { get; init; }

    [Key(17)]
    public required ulong Xcr0 { get; init; }

    [Key(18)]
    public required ulong Dr0 { get; init; }

    [Key(19)]
    public required ulong Dr1 { get; init; }

    [Key(20)]
    public required ulong Dr2 { get; init; }

    [Key(21)]
    public required ulong Dr3 { get; init; }

    [Key(22)]
    public required ulong Dr6 { get; init; }

    [Key(23)]
    public required ulong Dr7 { get; init; }

    [Key(24)]
    public required ulong Efer { get; init; }

    [Key(25)]
    public required ulong Star { get; init; }

    [Key(26)]
    public required ulong Lstar { get; init; }

    [Key(27)]
    public required ulong Cstar { get; init; }

    [Key(28)]
    public required ulong Fmask { get; init; }

    [Key(29)]
    public required ulong KernelGsBase { get; init; }

    [Key(30)]
    public required ulong SysenterCs { get; init; }

    [Key(31)]
    public required ulong SysenterEsp { get; init; }

    [Key(32)]
    public required ulong SysenterEip { get; init; }

    [Key(33)]
    public required ulong Pat { get; init; }

    [Key(34)]
    public required ulong TscAux { get; init; }

    [Key(35)]
    public required ulong MiscEnable { get; init; }

    [Key(36)]
    public required ulong SpecControl { get; init; }

    [Key(37)]
    public required ulong MtrrDefaultType { get; init; }

    [Key(38)]
    public required ulong TscAdjust { get; init; }

    /// <summary>R0 to R7: significand, then sign and exponent.</summary>
    [Key(39)]
    public required ulong[] X87 { get; init; }

    [Key(40)]
    public required ushort X87Control { get; init; }

    [Key(41)]
    public required ushort X87Status { get; init; }

    [Key(42)]
    public required byte X87Tag { get; init; }

    [Key(43)]
    public required ushort X87Opcode { get; init; }

    [Key(44)]
    public required ulong X87InstructionPointer { get; init; }

    [Key(45)]
    public required ulong X87DataPointer { get; init; }

    [Key(46)]
    public required uint Mxcsr { get; init; }

    /// <summary>YMM0 to YMM15, 32 bytes each.</summary>
    [Key(47)]
    public required byte[] Vector { get; init; }

    [Key(48)]
    public required bool Halted { get; init; }

    [Key(49)]
    public required bool InterruptShadow { get; init; }

    [Key(50)]
    public required bool NmiBlocked { get; init; }

    [Key(51)]
    public required bool NmiPending { get; init; }

    [Key(52)]
    public required ulong RetiredInstructions { get; init; }
}

/// <summary>A segment register; attributes as in <see cref="Segment.Attributes"/>.</summary>
[MessagePackObject]
public sealed record SegmentState
{
    [Key(0)]
    public required ulong Base { get; init; }

    [Key(1)]
    public required uint Limit { get; init; }

    [Key(2)]
    public required ushort Selector { get; init; }

    [Key(3)]
    public required ushort Attributes { get; init; }
}

/// <summary>GDTR or IDTR.</summary>
[MessagePackObject]
public sealed record DescriptorTableState
{
    [Key(0)]
    public required ulong Base { get; init; }

    [Key(1)]
    public required ushort Limit { get; init; }
}
