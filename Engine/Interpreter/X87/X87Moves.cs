using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>Loads, stores, exchanges and conditional moves.</summary>
internal static unsafe class X87Moves
{
    public static readonly Row[] Rows =
    [
        new(Mnemonic.Fld, (in Instruction instruction, ref Op op) =>
        {
            X87Operands.Bind(instruction, ref op, 0);
            if (instruction.Op0Kind == OpKind.Register)
                return new Handler(&LoadRegister);
            return new Handler(instruction.MemorySize switch
            {
                MemorySize.Float32 => &Load<SingleSource, uint>,
                MemorySize.Float64 => &Load<DoubleSource, ulong>,
                _ => &LoadExtended,
            });
        }),
        new(Mnemonic.Fild, (in Instruction instruction, ref Op op) => new Handler(instruction.MemorySize switch
        {
            MemorySize.Int16 => &Load<WordSource, short>,
            MemorySize.Int32 => &Load<DwordSource, int>,
            _ => &Load<QwordSource, long>,
        })),
        new(Mnemonic.Fst, (in Instruction instruction, ref Op op) => SelectStore(instruction, ref op, 0)),
        new(Mnemonic.Fstp, (in Instruction instruction, ref Op op) => SelectStore(instruction, ref op, 1)),
        new(Mnemonic.Fstpnce, (in Instruction instruction, ref Op op) => Bound(instruction, ref op, &StoreRegisterQuietly)),
        new(Mnemonic.Fist, (in Instruction instruction, ref Op op) => SelectInteger(instruction, ref op, pops: false, truncates: false)),
        new(Mnemonic.Fistp, (in Instruction instruction, ref Op op) => SelectInteger(instruction, ref op, pops: true, truncates: false)),
        new(Mnemonic.Fisttp, (in Instruction instruction, ref Op op) => SelectInteger(instruction, ref op, pops: true, truncates: true)),
        new(Mnemonic.Fxch, (in Instruction instruction, ref Op op) => Bound(instruction, ref op, &Exchange)),
        new(Mnemonic.Fchs, (in Instruction instruction, ref Op op) => Bound(instruction, ref op, &ChangeSign)),
        new(Mnemonic.Fabs, (in Instruction instruction, ref Op op) => Bound(instruction, ref op, &Absolute)),
        Conditional(Mnemonic.Fcmovb, Rflags.CF, false), Conditional(Mnemonic.Fcmove, Rflags.ZF, false),
        Conditional(Mnemonic.Fcmovbe, Rflags.CF | Rflags.ZF, false), Conditional(Mnemonic.Fcmovu, Rflags.PF, false),
        Conditional(Mnemonic.Fcmovnb, Rflags.CF, true), Conditional(Mnemonic.Fcmovne, Rflags.ZF, true),
        Conditional(Mnemonic.Fcmovnbe, Rflags.CF | Rflags.ZF, true), Conditional(Mnemonic.Fcmovnu, Rflags.PF, true),
    ];

    private static Handler Bound(in Instruction instruction, ref Op op, delegate*<VcpuContext*, Op*, Op*> handler)
    {
        X87Operands.Bind(instruction, ref op, 0);
        return new Handler(handler);
    }

    private static Row Conditional(Mnemonic mnemonic, ulong flags, bool negate) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        X87Operands.Bind(instruction, ref op, (uint)flags);
        return new Handler(negate ? &MoveUnless : &MoveIf);
    });

    private static Handler SelectStore(in Instruction instruction, ref Op op, uint pops)
    {
        X87Operands.Bind(instruction, ref op, pops);
        if (instruction.Op0Kind == OpKind.Register)
            return new Handler(&StoreRegister);
        return new Handler(instruction.MemorySize switch
        {
            MemorySize.Float32 => &Store<uint>,
            MemorySize.Float64 => &Store<ulong>,
            _ => &StoreExtended,
        });
    }

    private static Handler SelectInteger(in Instruction instruction, ref Op op, bool pops, bool truncates)
    {
        op.Extra = (pops ? 1u : 0) | (truncates ? 2u : 0);
        return new Handler(instruction.MemorySize switch
        {
            MemorySize.Int16 => &StoreInteger<short>,
            MemorySize.Int32 => &StoreInteger<int>,
            _ => &StoreInteger<long>,
        });
    }

    /// <summary>From a single, double or integer; singles and doubles may raise invalid (signaling NaN) and denormal.</summary>
    private static Op* Load<TSource, T>(VcpuContext* c, Op* op)
        where TSource : struct, IX87Source<T>
        where T : unmanaged
    {
        if (!X87Unit.Ready(c, op) || !GuestAccess.Load(c, X87Unit.Address(c, op), out T bits))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        if (!X87Unit.IsEmpty(c, -1))
        {
            X87Unit.Push(c, default);
            return op + 1;
        }
        FloatControl control = X87Unit.Control(c);
        Number value = SoftFloat.Convert(TSource.Unpack(bits), FloatFormat.Extended, ref control);
        // A denormal is loaded even where its exception is unmasked.
        if (X87Unit.Report(c, control) || (control.Flags & X87Flags.Invalid) == 0)
            X87Unit.Push(c, value);
        return op + 1;
    }

    private static Op* LoadExtended(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        ulong address = X87Unit.Address(c, op);
        if (!GuestAccess.Load(c, address, out ulong significand) || !GuestAccess.Load(c, address + 8, out ushort signExponent))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        X87Unit.PushRaw(c, significand, signExponent);
        return op + 1;
    }

    private static Op* LoadRegister(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        ulong* register = c->State.X87 + 2 * X87Unit.Physical(c, op->Dst);
        (ulong significand, ushort signExponent) = (register[0], (ushort)register[1]);
        if (X87Unit.IsEmpty(c, op->Dst))
        {
            if (X87Unit.Underflow(c))
            {
                X87Unit.Rotate(c, -1);
                X87Unit.Set(c, 0, Number.Indefinite);
            }
            return op + 1;
        }
        X87Unit.PushRaw(c, significand, signExponent);
        return op + 1;
    }

    private static Op* Store<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        ulong address = X87Unit.Address(c, op);
        FloatControl control = X87Unit.Control(c);
        bool empty = X87Unit.IsEmpty(c, 0);
        Number value = empty
            ? Number.Indefinite
            : SoftFloat.Convert(X87Unit.Get(c, 0), sizeof(T) == 4 ? FloatFormat.Single : FloatFormat.Double, ref control);
        if (empty)
            control.Flags = X87Flags.Invalid | X87Flags.StackFault;
        // A store does not report denormal operands. Where a result cannot be delivered nothing is stored or popped.
        control.Flags &= ~X87Flags.Denormal;
        const int undelivered = X87Flags.Invalid | X87Flags.Overflow | X87Flags.Underflow;
        bool deliver = (control.Flags & undelivered & ~control.Masks) == 0;
        if (deliver && !(sizeof(T) == 4
            ? GuestAccess.Store(c, address, value.ToSingle())
            : GuestAccess.Store(c, address, value.ToDouble())))
            return VectorState.Leave(c, op);
        if (!deliver)
            control.Flags &= ~X87Flags.Precision;
        X87Unit.Report(c, control);
        if (deliver && op->Extra != 0)
            X87Unit.Pop(c);
        return op + 1;
    }

    private static Op* StoreExtended(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        ulong address = X87Unit.Address(c, op);
        ulong* register = c->State.X87 + 2 * X87Unit.Physical(c, 0);
        (ulong significand, ushort signExponent) = (register[0], (ushort)register[1]);
        bool empty = X87Unit.IsEmpty(c, 0);
        if (empty)
        {
            (significand, signExponent) = Number.Indefinite.ToExtended();
            if ((c->State.X87Control & X87Flags.Invalid) == 0)
            {
                X87Unit.Underflow(c);
                return op + 1;
            }
        }
        if (!GuestAccess.Store(c, address, significand) || !GuestAccess.Store(c, address + 8, signExponent))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        if (empty)
            X87Unit.Underflow(c);
        X87Unit.Pop(c);
        return op + 1;
    }

    private static Op* StoreRegister(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        if (X87Unit.IsEmpty(c, 0))
        {
            if (!X87Unit.Underflow(c))
                return op + 1;
            X87Unit.Set(c, op->Dst, Number.Indefinite);
        }
        else
        {
            X87Unit.ClearC1(c);
            ulong* register = c->State.X87 + 2 * X87Unit.Physical(c, 0);
            X87Unit.SetRaw(c, op->Dst, register[0], (ushort)register[1]);
        }
        if (op->Extra != 0)
            X87Unit.Pop(c);
        return op + 1;
    }

    /// <summary>D9 D8+i: FSTP that takes an empty ST0 without an exception.</summary>
    private static Op* StoreRegisterQuietly(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        if (!X87Unit.IsEmpty(c, 0))
        {
            ulong* register = c->State.X87 + 2 * X87Unit.Physical(c, 0);
            X87Unit.SetRaw(c, op->Dst, register[0], (ushort)register[1]);
        }
        X87Unit.Pop(c);
        return op + 1;
    }

    private static Op* StoreInteger<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        ulong address = X87Unit.Address(c, op);
        FloatControl control = X87Unit.Control(c);
        long value = long.MinValue >> (64 - sizeof(T) * 8);
        if (X87Unit.IsEmpty(c, 0))
            control.Flags = X87Flags.Invalid | X87Flags.StackFault;
        else
            value = SoftFloat.ToInteger(X87Unit.Get(c, 0), sizeof(T) * 8, (op->Extra & 2) != 0 ? Rounding.Zero : control.Rounding, ref control);
        bool deliver = (control.Flags & X87Flags.Invalid & ~control.Masks) == 0;
        if (deliver && !GuestAccess.Store(c, address, *(T*)&value))
            return VectorState.Leave(c, op);
        X87Unit.Report(c, control);
        if (deliver && (op->Extra & 1) != 0)
            X87Unit.Pop(c);
        return op + 1;
    }

    private static Op* Exchange(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        bool firstEmpty = X87Unit.IsEmpty(c, 0), otherEmpty = X87Unit.IsEmpty(c, op->Src);
        if (firstEmpty || otherEmpty)
        {
            if (!X87Unit.Underflow(c))
                return op + 1;
            if (firstEmpty)
                X87Unit.Set(c, 0, Number.Indefinite);
            if (otherEmpty)
                X87Unit.Set(c, op->Src, Number.Indefinite);
        }
        ulong* first = c->State.X87 + 2 * X87Unit.Physical(c, 0);
        ulong* other = c->State.X87 + 2 * X87Unit.Physical(c, op->Src);
        (first[0], first[1], other[0], other[1]) = (other[0], other[1], first[0], first[1]);
        return op + 1;
    }

    private static Op* ChangeSign(VcpuContext* c, Op* op) => AlterSign(c, op, keep: 0xffff, flip: 0x8000);

    private static Op* Absolute(VcpuContext* c, Op* op) => AlterSign(c, op, keep: 0x7fff, flip: 0);

    private static Op* AlterSign(VcpuContext* c, Op* op, ulong keep, ulong flip)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        if (X87Unit.IsEmpty(c, 0))
        {
            if (X87Unit.Underflow(c))
                X87Unit.Set(c, 0, Number.Indefinite);
            return op + 1;
        }
        X87Unit.ClearC1(c);
        ulong* signExponent = c->State.X87 + 2 * X87Unit.Physical(c, 0) + 1;
        *signExponent = (*signExponent & keep) ^ flip;
        return op + 1;
    }

    private static Op* MoveIf(VcpuContext* c, Op* op) => Move(c, op, (c->GetRflags() & op->Extra) != 0);

    private static Op* MoveUnless(VcpuContext* c, Op* op) => Move(c, op, (c->GetRflags() & op->Extra) == 0);

    private static Op* Move(VcpuContext* c, Op* op, bool condition)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        if (X87Unit.IsEmpty(c, 0) || X87Unit.IsEmpty(c, op->Src))
        {
            if (X87Unit.Underflow(c))
                X87Unit.Set(c, 0, Number.Indefinite);
            return op + 1;
        }
        ulong* source = c->State.X87 + 2 * X87Unit.Physical(c, op->Src);
        if (condition)
            X87Unit.SetRaw(c, 0, source[0], (ushort)source[1]);
        return op + 1;
    }
}
