using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Limits and types of segments, outside of 64-bit mode. Where a segment is not flat, an op of length 0 stands before
/// the instruction for each of its memory accesses and refuses it; flat code carries none of this.
/// A rep string instruction is checked at its next iteration only, each time that it goes on.
/// </summary>
internal sealed unsafe class SegmentChecks
{
    /// <summary>Checks before one instruction at most; ENTER with deep nesting has more accesses, all below its first.</summary>
    public const int Most = 8;

    private readonly InstructionInfoFactory _factory = new();

    /// <summary>Whether data and stack need no checks: present, writable, expand-up, the whole 4 GiB. (The base is always added.)</summary>
    public static bool AreFlat(ref CpuState state) => IsFlat(state.Ds) && IsFlat(state.Ss) && IsFlat(state.Es);

    /// <summary>Whether the instruction loads a segment register, after which other checks may be due.</summary>
    public static bool LoadsSegment(in Instruction instruction) =>
        instruction.Mnemonic is Mnemonic.Lds or Mnemonic.Les or Mnemonic.Lfs or Mnemonic.Lgs or Mnemonic.Lss
        || (instruction.OpCount > 0 && instruction.Op0Kind == OpKind.Register && instruction.Op0Register.IsSegmentRegister()
            && instruction.Mnemonic is Mnemonic.Mov or Mnemonic.Pop);

    /// <summary>Puts the checks that an instruction needs at <paramref name="op"/> and moves it past them.</summary>
    public void Emit(in Instruction instruction, ref Op* op, ulong rip, byte mode)
    {
        // What enters and leaves handlers checks its stacks itself; they may be others.
        if (instruction.FlowControl == FlowControl.Interrupt || instruction.Mnemonic is Mnemonic.Iret or Mnemonic.Iretd or Mnemonic.Retf)
            return;
        int count = 0;
        foreach (UsedMemory memory in _factory.GetInfo(instruction).GetUsedMemory())
        {
            bool always = memory.Segment is Register.FS or Register.GS or Register.CS;
            if ((!always && (mode & CodeMode.Checked) == 0) || memory.Access is OpAccess.None or OpAccess.NoMemAccess || count == Most)
                continue;
            // The elements of a gather lie anywhere; none of them is checked.
            if (memory.VsibSize != 0)
                continue;
            *op = default;
            op->Rip = rip;
            op->Mode = mode;
            op->Execute = &Check;
            op->Base = Registers.OffsetOf(memory.Base);
            op->Index = Registers.OffsetOf(memory.Index);
            op->Scale = (byte)System.Numerics.BitOperations.Log2((uint)memory.Scale);
            op->Displacement = memory.Displacement;
            op->SegmentBase = Registers.Zero;
            op->AddressSize = memory.AddressSize == CodeSize.Code16 ? (byte)2 : (byte)4;
            op->Dst = Registers.SegmentOffset(memory.Segment);
            op->Src = (ushort)Math.Max(memory.MemorySize.GetSize(), 1);
            op->Third = Writes(memory.Access) ? (ushort)1 : (ushort)0;
            bool repeats = instruction.HasRepPrefix || instruction.HasRepnePrefix;
            op->Extra = repeats && instruction.IsStringInstruction ? (uint)op->AddressSize : 0;
            if (memory.Segment == Register.SS)
                op->Flags |= (byte)OpFlags.StackSegment;
            op++;
            count++;
        }
    }

    private static bool Writes(OpAccess access) =>
        access is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite;

    private static bool IsFlat(in Segment segment)
    {
        const ushort Mask = Segment.P | Segment.S | Segment.Code | Segment.Expand | Segment.Writable;
        return segment.Limit == uint.MaxValue && (segment.Attributes & Mask) == (Segment.P | Segment.S | Segment.Writable);
    }

    private static Op* Check(VcpuContext* c, Op* op)
    {
        // A rep instruction whose count is 0 accesses nothing.
        if (op->Extra != 0 && (c->State.Gpr[Gpr.RCX] & (op->Extra == 2 ? 0xfffful : uint.MaxValue)) == 0)
            return op + 1;
        Segment* segment = (Segment*)((byte*)c + op->Dst);
        ulong first = GuestAccess.Address(c, op), last = first + op->Src - 1;
        if (TypeAllows(c, segment, op->Third != 0) && LimitAllows(segment, first, last))
            return op + 1;
        c->Raise((op->Flags & (byte)OpFlags.StackSegment) != 0 ? Vector.SS : Vector.GP, 0);
        return null;
    }

    /// <summary>Real mode and virtual-8086 mode have limits only.</summary>
    private static bool TypeAllows(VcpuContext* c, Segment* segment, bool write)
    {
        if (!c->State.ProtectedMode || (c->State.Rflags & Rflags.VM) != 0)
            return true;
        ushort attributes = segment->Attributes;
        if ((attributes & Segment.P) == 0)
            return false;
        bool code = (attributes & Segment.Code) != 0, second = (attributes & Segment.Writable) != 0;
        // The bit says writable for data and readable for code.
        return write ? !code && second : !code || second;
    }

    private static bool LimitAllows(Segment* segment, ulong first, ulong last)
    {
        bool down = (segment->Attributes & (Segment.Code | Segment.Expand)) == Segment.Expand;
        if (!down)
            return last <= segment->Limit;
        return first > segment->Limit && last <= ((segment->Attributes & Segment.DB) != 0 ? uint.MaxValue : 0xfffful);
    }
}
