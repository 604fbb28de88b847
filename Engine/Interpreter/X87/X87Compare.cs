using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>Comparisons to condition codes and to RFLAGS, FTST and FXAM.</summary>
internal static unsafe class X87Compare
{
    private const uint PopMask = 3, QuietSignals = 4, ToFlags = 8;

    public static readonly Row[] Rows =
    [
        Compare(Mnemonic.Fcom, QuietSignals), Compare(Mnemonic.Fcomp, QuietSignals | 1), Compare(Mnemonic.Fcompp, QuietSignals | 2),
        Compare(Mnemonic.Fucom, 0), Compare(Mnemonic.Fucomp, 1), Compare(Mnemonic.Fucompp, 2),
        Compare(Mnemonic.Ficom, QuietSignals), Compare(Mnemonic.Ficomp, QuietSignals | 1),
        Compare(Mnemonic.Fcomi, QuietSignals | ToFlags), Compare(Mnemonic.Fcomip, QuietSignals | ToFlags | 1),
        Compare(Mnemonic.Fucomi, ToFlags), Compare(Mnemonic.Fucomip, ToFlags | 1),
        new(Mnemonic.Ftst, (in Instruction instruction, ref Op op) =>
        {
            op.Extra = QuietSignals;
            return new Handler(&Test);
        }),
        new(Mnemonic.Fxam, (in Instruction instruction, ref Op op) => new Handler(&Examine)),
    ];

    private static Row Compare(Mnemonic mnemonic, uint options) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        X87Operands.Bind(instruction, ref op, options);
        if (instruction.Op0Kind == OpKind.Memory)
            return new Handler(instruction.MemorySize switch
            {
                MemorySize.Float32 => &Memory<SingleSource, uint>,
                MemorySize.Float64 => &Memory<DoubleSource, ulong>,
                MemorySize.Int32 => &Memory<DwordSource, int>,
                _ => &Memory<WordSource, short>,
            });
        // FCOMPP and FUCOMPP name no register: ST1.
        if (instruction.OpCount == 0)
            op.Src = 1;
        return new Handler(&Register);
    });

    private static Op* Register(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        return Finish(c, op, X87Unit.IsEmpty(c, 0) || X87Unit.IsEmpty(c, op->Src), X87Unit.Get(c, op->Src));
    }

    private static Op* Memory<TSource, T>(VcpuContext* c, Op* op)
        where TSource : struct, IX87Source<T>
        where T : unmanaged
    {
        if (!X87Unit.Ready(c, op) || !GuestAccess.Load(c, X87Unit.Address(c, op), out T bits))
            return VectorState.Leave(c, op);
        return Finish(c, op, X87Unit.IsEmpty(c, 0), TSource.Unpack(bits));
    }

    private static Op* Test(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        return Finish(c, op, X87Unit.IsEmpty(c, 0), default);
    }

    private static Op* Finish(VcpuContext* c, Op* op, bool empty, in Number right)
    {
        var relation = Relation.Unordered;
        bool deliver;
        if (empty)
            deliver = X87Unit.Underflow(c);
        else
        {
            FloatControl control = X87Unit.Control(c);
            relation = SoftFloat.Compare(X87Unit.Get(c, 0), right, (op->Extra & QuietSignals) != 0, ref control);
            // Comparisons to RFLAGS leave the condition codes alone, C1 too.
            int c1 = (op->Extra & ToFlags) != 0 ? c->State.X87Status & X87Flags.C1 : 0;
            deliver = X87Unit.Report(c, control);
            c->State.X87Status |= (ushort)c1;
        }
        // The outcome shows even where an unmasked exception keeps the operands from being popped.
        if ((op->Extra & ToFlags) != 0)
            c->SetArithmetic(relation switch
            {
                Relation.Less => Rflags.CF,
                Relation.Equal => Rflags.ZF,
                Relation.Greater => 0,
                _ => Rflags.ZF | Rflags.PF | Rflags.CF,
            });
        else
            X87Unit.SetConditions(c, relation switch
            {
                Relation.Less => X87Flags.C0,
                Relation.Equal => X87Flags.C3,
                Relation.Greater => 0,
                _ => X87Flags.C3 | X87Flags.C2 | X87Flags.C0,
            });
        for (uint i = deliver ? op->Extra & PopMask : 0; i != 0; i--)
            X87Unit.Pop(c);
        return op + 1;
    }

    /// <summary>C3, C2, C0 name the class of ST0, C1 its sign (Intel SDM 2A, FXAM).</summary>
    private static Op* Examine(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        Number value = X87Unit.Get(c, 0);
        int codes = value.Negative ? X87Flags.C1 : 0;
        if (X87Unit.IsEmpty(c, 0))
            codes |= X87Flags.C3 | X87Flags.C0;
        else if (value.Denormal)
            codes |= X87Flags.C3 | X87Flags.C2;
        else
            codes |= value.Class switch
            {
                NumberClass.Zero => X87Flags.C3,
                NumberClass.Finite => X87Flags.C2,
                NumberClass.Infinity => X87Flags.C2 | X87Flags.C0,
                NumberClass.Unsupported => 0,
                _ => X87Flags.C0,
            };
        X87Unit.SetConditions(c, codes);
        return op + 1;
    }
}
