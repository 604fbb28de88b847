using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>Fills an op's operands, immediate and memory operand from a decoded instruction.</summary>
internal static unsafe class OperandDecoder
{
    public static void Fill(in Instruction instruction, Op* op, byte mode)
    {
        op->Dst = op->Src = op->Third = op->Base = op->Index = op->SegmentBase = Registers.Zero;
        op->AddressSize = DefaultAddressSize(mode);
        if (instruction.HasLockPrefix)
            op->Flags |= (byte)OpFlags.Lock;
        if (instruction.HasRepPrefix)
            op->Flags |= (byte)OpFlags.Rep;
        if (instruction.HasRepnePrefix)
            op->Flags |= (byte)OpFlags.Repne;
        op->Mode = mode;
        bool immediate = false;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            switch (kind)
            {
                case OpKind.Register:
                    SetRegister(op, i, Registers.OffsetOf(instruction.GetOpRegister(i)));
                    break;
                case OpKind.NearBranch16 or OpKind.NearBranch32 or OpKind.NearBranch64:
                    op->Immediate = instruction.NearBranchTarget;
                    break;
                case OpKind.Memory:
                    Memory(instruction, op, mode);
                    break;
                case >= OpKind.MemorySegSI and <= OpKind.MemorySegRDI or OpKind.MemoryESDI or OpKind.MemoryESEDI or OpKind.MemoryESRDI:
                    Implicit(instruction, kind, op, mode);
                    break;
                default:
                    // Of two immediates (ENTER) the first is the op's; the row takes the other from the instruction.
                    if (!immediate && kind is >= OpKind.Immediate8 and <= OpKind.Immediate32to64 && kind != OpKind.Immediate8_2nd)
                        op->Immediate = instruction.GetImmediate(i);
                    immediate = true;
                    break;
            }
        }
    }

    private static void SetRegister(Op* op, int operand, ushort offset)
    {
        switch (operand)
        {
            case 0:
                op->Dst = offset;
                break;
            case 1:
                op->Src = offset;
                break;
            case 2:
                op->Third = offset;
                break;
        }
    }

    private static void Memory(in Instruction instruction, Op* op, byte mode)
    {
        Register @base = instruction.MemoryBase;
        if (@base is Register.RIP or Register.EIP)
        {
            op->Displacement = instruction.IPRelativeMemoryAddress;
            op->AddressSize = (byte)(@base == Register.RIP ? 8 : 4);
        }
        else
        {
            Register index = instruction.MemoryIndex;
            op->Displacement = instruction.MemoryDisplacement64;
            op->Base = Registers.OffsetOf(@base);
            op->Index = Registers.OffsetOf(index);
            op->Scale = (byte)System.Numerics.BitOperations.Log2((uint)instruction.MemoryIndexScale);
            op->AddressSize = AddressSize(instruction, @base, index, mode);
        }
        SetSegment(op, instruction.MemorySegment, mode);
    }

    private static void Implicit(in Instruction instruction, OpKind kind, Op* op, byte mode)
    {
        op->AddressSize = kind switch
        {
            OpKind.MemorySegSI or OpKind.MemorySegDI or OpKind.MemoryESDI => 2,
            OpKind.MemorySegESI or OpKind.MemorySegEDI or OpKind.MemoryESEDI => 4,
            _ => 8,
        };
        // ES:rDI has no override; the op's segment is that of the other operand.
        if (kind is not (OpKind.MemoryESDI or OpKind.MemoryESEDI or OpKind.MemoryESRDI))
            SetSegment(op, instruction.MemorySegment, mode);
    }

    /// <summary>In 64-bit mode only FS and GS have a base (SDM 1, 3.4.2.1).</summary>
    private static void SetSegment(Op* op, Register segment, byte mode)
    {
        if (segment == Register.SS)
            op->Flags |= (byte)OpFlags.StackSegment;
        bool hasBase = (mode & CodeMode.SizeMask) != CodeMode.Code64 || segment is Register.FS or Register.GS;
        if (hasBase && segment != Register.None)
            op->SegmentBase = Registers.SegmentBase(segment);
    }

    private static byte AddressSize(in Instruction instruction, Register @base, Register index, byte mode)
    {
        Register register = @base != Register.None ? @base : index;
        if (register is >= Register.RAX and <= Register.R15)
            return 8;
        if (register is >= Register.EAX and <= Register.R15D)
            return 4;
        if (register is >= Register.AX and <= Register.R15W)
            return 2;
        // An absolute address: its size is the address size.
        return instruction.MemoryDisplSize switch
        {
            8 => 8,
            4 => 4,
            2 => 2,
            _ => DefaultAddressSize(mode),
        };
    }

    private static byte DefaultAddressSize(byte mode) => (mode & CodeMode.SizeMask) switch
    {
        CodeMode.Code64 => 8,
        CodeMode.Code32 => 4,
        _ => 2,
    };
}
