using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>LAR, LSL, VERR, VERW, ARPL: answers in ZF. All are #UD in real mode.</summary>
internal static unsafe class SelectorQueries
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Lar, (in Instruction i, ref Op op) => SelectQuery(i, ref op, new(&AccessRights))),
        new(Mnemonic.Lsl, (in Instruction i, ref Op op) => SelectQuery(i, ref op, new(&SegmentLimit))),
        new(Mnemonic.Verr, (in Instruction i, ref Op op) => SelectVerify(i, ref op, new(&VerifyRead))),
        new(Mnemonic.Verw, (in Instruction i, ref Op op) => SelectVerify(i, ref op, new(&VerifyWrite))),
        new(Mnemonic.Arpl, (in Instruction i, ref Op op) => i.Op0Kind == OpKind.Memory ? new(&AdjustMemory) : new(&AdjustRegister)),
    ];

    /// <summary>The selector is the last operand; op.Extra says that it is in memory.</summary>
    private static Handler SelectQuery(in Instruction instruction, ref Op op, Handler handler)
    {
        op.Third = (ushort)instruction.Op0Register.GetSize();
        op.Extra = instruction.Op1Kind == OpKind.Memory ? 1u : 0u;
        return handler;
    }

    private static Handler SelectVerify(in Instruction instruction, ref Op op, Handler handler)
    {
        op.Extra = instruction.Op0Kind == OpKind.Memory ? 1u : 0u;
        op.Src = op.Dst;
        return handler;
    }

    private static bool Selector(VcpuContext* c, Op* op, out ushort selector)
    {
        selector = 0;
        if (!Plumbing.Protected(c))
            return false;
        if (op->Extra != 0)
            return GuestAccess.Load(c, GuestAccess.Address(c, op), out selector);
        selector = (ushort)Plumbing.Register(c, op->Src);
        return true;
    }

    private static void SetZero(VcpuContext* c, bool zero)
    {
        ulong flags = c->GetRflags() & ~Rflags.ZF;
        c->SetArithmetic(zero ? flags | Rflags.ZF : flags);
    }

    private static Op* AccessRights(VcpuContext* c, Op* op)
    {
        if (!Selector(c, op, out ushort selector) || !DescriptorRegisters.AccessRights(c, selector, out bool valid, out uint rights))
            return null;
        return Answer(c, op, valid, rights);
    }

    private static Op* SegmentLimit(VcpuContext* c, Op* op)
    {
        if (!Selector(c, op, out ushort selector) || !DescriptorRegisters.SegmentLimit(c, selector, out bool valid, out uint limit))
            return null;
        return Answer(c, op, valid, limit);
    }

    private static Op* Answer(VcpuContext* c, Op* op, bool valid, uint value)
    {
        if (valid)
            Plumbing.SetRegister(c, op->Dst, op->Third, value);
        SetZero(c, valid);
        return op + 1;
    }

    private static Op* VerifyRead(VcpuContext* c, Op* op) => Verify(c, op, write: false);

    private static Op* VerifyWrite(VcpuContext* c, Op* op) => Verify(c, op, write: true);

    private static Op* Verify(VcpuContext* c, Op* op, bool write)
    {
        if (!Selector(c, op, out ushort selector) || !DescriptorRegisters.Verify(c, selector, write, out bool valid))
            return null;
        SetZero(c, valid);
        return op + 1;
    }

    private static Op* AdjustMemory(VcpuContext* c, Op* op)
    {
        ulong address = GuestAccess.Address(c, op);
        if (!Plumbing.Protected(c) || !GuestAccess.LoadForWrite(c, address, out ushort selector))
            return null;
        bool adjusted = Adjust(ref selector, (ushort)Plumbing.Register(c, op->Src));
        if (adjusted && !GuestAccess.Store(c, address, selector))
            return null;
        SetZero(c, adjusted);
        return op + 1;
    }

    private static Op* AdjustRegister(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Protected(c))
            return null;
        ushort selector = (ushort)Plumbing.Register(c, op->Dst);
        bool adjusted = Adjust(ref selector, (ushort)Plumbing.Register(c, op->Src));
        Plumbing.SetRegister(c, op->Dst, 2, selector);
        SetZero(c, adjusted);
        return op + 1;
    }

    private static bool Adjust(ref ushort selector, ushort other)
    {
        if ((selector & 3) >= (other & 3))
            return false;
        selector = (ushort)((selector & ~3) | (other & 3));
        return true;
    }
}
