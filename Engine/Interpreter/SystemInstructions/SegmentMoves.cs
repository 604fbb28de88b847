using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>MOV, PUSH and POP of segment registers, and LDS, LES, LFS, LGS, LSS.</summary>
internal static unsafe class SegmentMoves
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Mov, SelectStore),
        new(Mnemonic.Mov, SelectLoad),
        new(Mnemonic.Mov, SelectLoadStack) { EndsBlock = true },
        new(Mnemonic.Push, SelectPush),
        new(Mnemonic.Pop, SelectPop) { EndsBlock = true },
        new(Mnemonic.Lds, (in Instruction i, ref Op op) => SelectFarPointer(i, ref op, SegmentIndex.Ds)),
        new(Mnemonic.Les, (in Instruction i, ref Op op) => SelectFarPointer(i, ref op, SegmentIndex.Es)),
        new(Mnemonic.Lfs, (in Instruction i, ref Op op) => SelectFarPointer(i, ref op, SegmentIndex.Fs)),
        new(Mnemonic.Lgs, (in Instruction i, ref Op op) => SelectFarPointer(i, ref op, SegmentIndex.Gs)),
        new(Mnemonic.Lss, (in Instruction i, ref Op op) => SelectFarPointer(i, ref op, SegmentIndex.Ss)) { EndsBlock = true },
    ];

    private static bool IsSegment(Register register) => register is >= Register.ES and <= Register.GS;

    private static uint IndexOf(Register register) => (uint)(register - Register.ES);

    /// <summary>MOV r/m, Sreg: memory takes 2 bytes, a register its whole width.</summary>
    private static Handler SelectStore(in Instruction instruction, ref Op op)
    {
        if (instruction.OpCount != 2 || instruction.Op1Kind != OpKind.Register || !IsSegment(instruction.Op1Register))
            return default;
        op.Extra = IndexOf(instruction.Op1Register);
        if (instruction.Op0Kind == OpKind.Memory)
            return new(&StoreToMemory);
        return instruction.Op0Register.GetSize() == 2 ? new(&StoreTo16) : new(&StoreTo64);
    }

    private static Handler SelectLoad(in Instruction instruction, ref Op op)
    {
        if (!IsLoad(instruction) || instruction.Op0Register is Register.CS or Register.SS)
            return default;
        op.Extra = IndexOf(instruction.Op0Register);
        return instruction.Op1Kind == OpKind.Memory ? new(&LoadFromMemory) : new(&LoadFromRegister);
    }

    private static Handler SelectLoadStack(in Instruction instruction, ref Op op)
    {
        if (!IsLoad(instruction) || instruction.Op0Register != Register.SS)
            return default;
        return instruction.Op1Kind == OpKind.Memory ? new(&LoadStackFromMemory) : new(&LoadStackFromRegister);
    }

    private static bool IsLoad(in Instruction instruction) => instruction.OpCount == 2 && instruction.Op0Kind == OpKind.Register && IsSegment(instruction.Op0Register);

    private static Op* StoreToMemory(VcpuContext* c, Op* op) =>
        GuestAccess.Store(c, GuestAccess.Address(c, op), Segments.Get(c, (int)op->Extra).Selector) ? op + 1 : null;

    private static Op* StoreTo16(VcpuContext* c, Op* op)
    {
        Plumbing.SetRegister(c, op->Dst, 2, Segments.Get(c, (int)op->Extra).Selector);
        return op + 1;
    }

    private static Op* StoreTo64(VcpuContext* c, Op* op)
    {
        Plumbing.Register(c, op->Dst) = Segments.Get(c, (int)op->Extra).Selector;
        return op + 1;
    }

    private static Op* LoadFromMemory(VcpuContext* c, Op* op) =>
        GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort selector) && Segments.Load(c, (int)op->Extra, selector) ? op + 1 : null;

    private static Op* LoadFromRegister(VcpuContext* c, Op* op) =>
        Segments.Load(c, (int)op->Extra, (ushort)Plumbing.Register(c, op->Src)) ? op + 1 : null;

    private static Op* LoadStackFromMemory(VcpuContext* c, Op* op) =>
        GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort selector) ? LoadStack(c, op, selector) : null;

    private static Op* LoadStackFromRegister(VcpuContext* c, Op* op) => LoadStack(c, op, (ushort)Plumbing.Register(c, op->Src));

    private static Op* LoadStack(VcpuContext* c, Op* op, ushort selector)
    {
        if (!Segments.Load(c, SegmentIndex.Ss, selector))
            return null;
        c->State.InterruptShadow = true;
        return Plumbing.Leave(c, op);
    }

    /// <summary>PUSH and POP Sreg; op.Third is the operand's size.</summary>
    private static Handler SelectPush(in Instruction instruction, ref Op op)
    {
        if (instruction.Op0Kind != OpKind.Register || !IsSegment(instruction.Op0Register))
            return default;
        op.Extra = IndexOf(instruction.Op0Register);
        op.Third = (ushort)Math.Abs(instruction.StackPointerIncrement);
        op.Flags |= (byte)OpFlags.StackSegment;
        return new(&Push);
    }

    private static Handler SelectPop(in Instruction instruction, ref Op op) => SelectPush(instruction, ref op).IsNone ? default : new(&Pop);

    private static Op* Push(VcpuContext* c, Op* op)
    {
        ulong mask = Plumbing.StackMask(c);
        ref ulong pointer = ref c->State.Gpr[Gpr.RSP];
        ulong offset = (pointer - op->Third) & mask;
        if (!Plumbing.Store(c, Plumbing.StackAddress(c, offset), op->Third, Segments.Get(c, (int)op->Extra).Selector))
            return null;
        pointer = (pointer & ~mask) | offset;
        return op + 1;
    }

    private static Op* Pop(VcpuContext* c, Op* op)
    {
        ulong mask = Plumbing.StackMask(c);
        ulong offset = c->State.Gpr[Gpr.RSP] & mask;
        if (!Plumbing.Load(c, Plumbing.StackAddress(c, offset), op->Third, out ulong selector) || !Segments.Load(c, (int)op->Extra, (ushort)selector))
            return null;
        ref ulong pointer = ref c->State.Gpr[Gpr.RSP];
        pointer = (pointer & ~mask) | ((offset + op->Third) & mask);
        if (op->Extra == SegmentIndex.Ss)
            c->State.InterruptShadow = true;
        return Plumbing.Leave(c, op);
    }

    private static Handler SelectFarPointer(in Instruction instruction, ref Op op, int segment)
    {
        op.Extra = (uint)segment;
        op.Third = (ushort)instruction.Op0Register.GetSize();
        return segment == SegmentIndex.Ss ? new(&LoadStackPointer) : new(&LoadPointer);
    }

    private static Op* LoadPointer(VcpuContext* c, Op* op)
    {
        ulong address = GuestAccess.Address(c, op);
        if (!Plumbing.Load(c, address, op->Third, out ulong offset)
            || !GuestAccess.Load(c, address + op->Third, out ushort selector)
            || !Segments.Load(c, (int)op->Extra, selector))
            return null;
        Plumbing.SetRegister(c, op->Dst, op->Third, offset);
        return op + 1;
    }

    private static Op* LoadStackPointer(VcpuContext* c, Op* op) => LoadPointer(c, op) == null ? null : Plumbing.Leave(c, op);
}
