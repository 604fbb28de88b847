using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>Far JMP and CALL, RETF, IRET. op.Third is the operand size in bytes.</summary>
internal static unsafe class FarTransfers
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Jmp, (in Instruction i, ref Op op) => SelectFar(i, ref op, new(&JumpDirect), new(&JumpIndirect))) { EndsBlock = true },
        new(Mnemonic.Call, (in Instruction i, ref Op op) => SelectFar(i, ref op, new(&CallDirect), new(&CallIndirect))) { EndsBlock = true },
        new(Mnemonic.Retf, SelectReturn) { EndsBlock = true },
        new(Mnemonic.Iret, (in Instruction i, ref Op op) => SelectIret(ref op, 2)) { EndsBlock = true },
        new(Mnemonic.Iretd, (in Instruction i, ref Op op) => SelectIret(ref op, 4)) { EndsBlock = true },
        new(Mnemonic.Iretq, (in Instruction i, ref Op op) => SelectIret(ref op, 8)) { EndsBlock = true },
    ];

    private static Handler SelectFar(in Instruction instruction, ref Op op, Handler direct, Handler indirect)
    {
        switch (instruction.Code)
        {
            case Code.Jmp_ptr1616 or Code.Call_ptr1616:
                op.Third = 2;
                op.Immediate = instruction.FarBranch16;
                op.Extra = instruction.FarBranchSelector;
                return direct;
            case Code.Jmp_ptr1632 or Code.Call_ptr1632:
                op.Third = 4;
                op.Immediate = instruction.FarBranch32;
                op.Extra = instruction.FarBranchSelector;
                return direct;
            case Code.Jmp_m1616 or Code.Call_m1616:
                op.Third = 2;
                return indirect;
            case Code.Jmp_m1632 or Code.Call_m1632:
                op.Third = 4;
                return indirect;
            case Code.Jmp_m1664 or Code.Call_m1664:
                op.Third = 8;
                return indirect;
            default:
                return default;
        }
    }

    private static Op* JumpDirect(VcpuContext* c, Op* op)
    {
        FarControl.Jump(c, (ushort)op->Extra, op->Immediate, op->Third, op->NextRip);
        return null;
    }

    private static Op* CallDirect(VcpuContext* c, Op* op)
    {
        FarControl.Call(c, (ushort)op->Extra, op->Immediate, op->Third, op->NextRip);
        return null;
    }

    private static bool Pointer(VcpuContext* c, Op* op, out ushort selector, out ulong offset)
    {
        ulong address = GuestAccess.Address(c, op);
        selector = 0;
        return Plumbing.Load(c, address, op->Third, out offset) && GuestAccess.Load(c, address + op->Third, out selector);
    }

    private static Op* JumpIndirect(VcpuContext* c, Op* op)
    {
        if (Pointer(c, op, out ushort selector, out ulong offset))
            FarControl.Jump(c, selector, offset, op->Third, op->NextRip);
        return null;
    }

    private static Op* CallIndirect(VcpuContext* c, Op* op)
    {
        if (Pointer(c, op, out ushort selector, out ulong offset))
            FarControl.Call(c, selector, offset, op->Third, op->NextRip);
        return null;
    }

    private static Handler SelectReturn(in Instruction instruction, ref Op op)
    {
        op.Third = instruction.Code switch
        {
            Code.Retfw or Code.Retfw_imm16 => 2,
            Code.Retfd or Code.Retfd_imm16 => 4,
            _ => 8,
        };
        return new(&Return);
    }

    private static Op* Return(VcpuContext* c, Op* op)
    {
        FarControl.Return(c, op->Third, (ushort)op->Immediate);
        return null;
    }

    private static Handler SelectIret(ref Op op, ushort size)
    {
        op.Third = size;
        op.Flags |= (byte)OpFlags.NoTrap;
        return new(&Iret);
    }

    private static Op* Iret(VcpuContext* c, Op* op)
    {
        FarControl.Iret(c, op->Third, op->NextRip);
        return null;
    }
}
