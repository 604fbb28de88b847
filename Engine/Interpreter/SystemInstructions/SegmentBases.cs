using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>SWAPGS and RD/WR FS/GS BASE.</summary>
internal static unsafe class SegmentBases
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Swapgs, (in Instruction i, ref Op op) => new(&SwapGs)),
        new(Mnemonic.Rdfsbase, (in Instruction i, ref Op op) => SelectBase(i, ref op, SegmentIndex.Fs, new(&Read))),
        new(Mnemonic.Rdgsbase, (in Instruction i, ref Op op) => SelectBase(i, ref op, SegmentIndex.Gs, new(&Read))),
        new(Mnemonic.Wrfsbase, (in Instruction i, ref Op op) => SelectBase(i, ref op, SegmentIndex.Fs, new(&Write))),
        new(Mnemonic.Wrgsbase, (in Instruction i, ref Op op) => SelectBase(i, ref op, SegmentIndex.Gs, new(&Write))),
    ];

    private static Handler SelectBase(in Instruction instruction, ref Op op, int segment, Handler handler)
    {
        op.Extra = (uint)segment;
        op.Third = (ushort)instruction.Op0Register.GetSize();
        return handler;
    }

    private static Op* SwapGs(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c))
            return null;
        (c->State.Gs.Base, c->State.KernelGsBase) = (c->State.KernelGsBase, c->State.Gs.Base);
        return op + 1;
    }

    private static bool Enabled(VcpuContext* c) => (c->State.Cr4 & Cr4.FSGSBASE) != 0 || c->Raise(Vector.UD);

    private static Op* Read(VcpuContext* c, Op* op)
    {
        if (!Enabled(c))
            return null;
        Plumbing.SetRegister(c, op->Dst, op->Third, Segments.Get(c, (int)op->Extra).Base);
        return op + 1;
    }

    private static Op* Write(VcpuContext* c, Op* op)
    {
        if (!Enabled(c))
            return null;
        ulong value = Plumbing.Register(c, op->Dst);
        if (op->Third == 4)
            value = (uint)value;
        if (!Paging.IsCanonical(value))
        {
            c->Raise(Vector.GP, 0);
            return null;
        }
        Segments.Get(c, (int)op->Extra).Base = value;
        return op + 1;
    }
}
