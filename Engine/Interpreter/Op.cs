using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// One decoded instruction (or an internal step such as a block's head), in native memory, followed by the next one of
/// its block. Register operands are byte offsets from the start of <see cref="VcpuContext"/>, so that AH, EAX, XMM3 and
/// FS are all the same to the code that uses them. 64 bytes: one cache line.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
public unsafe struct Op
{
    /// <summary>
    /// Executes the instruction and returns the op to go on with: this + 1, the head of another block, or null to leave
    /// the loop (fault recorded in the context, or an exit pending, or the next block is not known; RIP says where to go on).
    /// </summary>
    public delegate*<VcpuContext*, Op*, Op*> Execute;

    /// <summary>The instruction's RIP.</summary>
    public ulong Rip;

    /// <summary>The immediate, sign-extended; for direct branches the target's RIP.</summary>
    public ulong Immediate;

    /// <summary>A memory operand's displacement, sign-extended; RIP-relative addresses are already absolute.</summary>
    public ulong Displacement;

    /// <summary>What the op links to: a branch's target block; free for others.</summary>
    public Op* Link;

    /// <summary>Operand 0's and 1's registers (and the third's: IMUL, SHLD, VEX forms).</summary>
    public ushort Dst, Src, Third;

    /// <summary>A memory operand's base and index register, and the segment base to add; the context's Zero where there is none.</summary>
    public ushort Base, Index, SegmentBase;

    /// <summary>log2 of the index's scale.</summary>
    public byte Scale;

    /// <summary>Instruction length in bytes, 1 to 15.</summary>
    public byte Length;

    /// <summary>Address-size mask selector: 8, 4 or 2 bytes.</summary>
    public byte AddressSize;

    /// <summary>Bits of <see cref="OpFlags"/>.</summary>
    public byte Flags;

    /// <summary>For the row's own use (a condition, a rep prefix, a shuffle control).</summary>
    public uint Extra;

    /// <summary>Instructions of the block that follow this one: what was charged for them is given back when they do not run.</summary>
    public ushort Remaining;

    /// <summary>What the instruction was decoded for: code size and stack size, bits of CodeMode.</summary>
    public byte Mode;

    /// <summary>The RIP of the instruction that follows in memory.</summary>
    public readonly ulong NextRip => Rip + Length;
}

/// <summary>Properties of an op that its execution may need.</summary>
[Flags]
public enum OpFlags : byte
{
    None = 0,
    Lock = 1,
    Rep = 2,
    Repne = 4,

    /// <summary>The memory operand goes through SS (its faults are #SS).</summary>
    StackSegment = 8,

    /// <summary>A direct branch: <see cref="Op.Link"/> may hold the taken target's block, <see cref="Op.Displacement"/> the other one's.</summary>
    Branch = 16,

    /// <summary>Not an instruction of the guest (the end of a block that runs on).</summary>
    Internal = 32,

    /// <summary>No single-step trap follows, although TF was set: the instruction enters a handler itself (INT n, SYSCALL).</summary>
    NoTrap = 64,

    /// <summary>The op's code has been overwritten: executing it leaves the loop before it.</summary>
    Stale = 128,
}
