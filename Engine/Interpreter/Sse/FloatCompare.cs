using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Comparisons to masks and to flags, minimum and maximum.</summary>
internal static unsafe class FloatCompare
{
    /// <summary>Rows. Cmpsd is also the string instruction's mnemonic: its row answers for the SSE2 forms only.</summary>
    public static readonly Row[] Rows =
    [
        FloatRows.Packed<Mask<float>, float>(Mnemonic.Cmpps),
        FloatRows.Packed<Mask<double>, double>(Mnemonic.Cmppd),
        FloatRows.Scalar<Mask<float>, float>(Mnemonic.Cmpss),
        FloatRows.Scalar<Mask<double>, double>(Mnemonic.Cmpsd),
        FloatRows.Packed<Minimum<float>, float>(Mnemonic.Minps),
        FloatRows.Packed<Minimum<double>, double>(Mnemonic.Minpd),
        FloatRows.Scalar<Minimum<float>, float>(Mnemonic.Minss),
        FloatRows.Scalar<Minimum<double>, double>(Mnemonic.Minsd),
        FloatRows.Packed<Maximum<float>, float>(Mnemonic.Maxps),
        FloatRows.Packed<Maximum<double>, double>(Mnemonic.Maxpd),
        FloatRows.Scalar<Maximum<float>, float>(Mnemonic.Maxss),
        FloatRows.Scalar<Maximum<double>, double>(Mnemonic.Maxsd),
        Flags<float>(Mnemonic.Comiss, quietSignals: true),
        Flags<double>(Mnemonic.Comisd, quietSignals: true),
        Flags<float>(Mnemonic.Ucomiss, quietSignals: false),
        Flags<double>(Mnemonic.Ucomisd, quietSignals: false),
    ];

    private static Row Flags<T>(Mnemonic mnemonic, bool quietSignals)
        where T : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        op.Extra = quietSignals ? 1u : 0;
        return new Handler(Operands.HasMemory(instruction) ? &FlagsMemory<T> : &FlagsRegister<T>);
    });

    private static Op* FlagsRegister<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return SetFlags(c, op, *(T*)((byte*)c + op->Src));
    }

    private static Op* FlagsMemory<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out T source))
            return VectorState.Leave(c, op);
        return SetFlags(c, op, source);
    }

    /// <summary>Compares the destination's lowest lane with a value; quiet NaNs signal where <see cref="Op.Extra"/> is set.</summary>
    internal static Op* SetFlags<T>(VcpuContext* c, Op* op, T source)
        where T : unmanaged
    {
        int flags = 0;
        Relation relation = Compare(*(T*)((byte*)c + op->Dst), source, c->State.Mxcsr, op->Extra != 0, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        c->SetArithmetic(relation switch
        {
            Relation.Less => Rflags.CF,
            Relation.Equal => Rflags.ZF,
            Relation.Greater => 0,
            _ => Rflags.ZF | Rflags.PF | Rflags.CF,
        });
        return op + 1;
    }

    /// <summary>Compares by the host where both are normal or zero, else by classification.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Relation Compare<T>(T left, T right, uint mxcsr, bool quietSignals, ref int flags)
        where T : unmanaged
    {
        if (IsPlain(left) && IsPlain(right))
        {
            if (sizeof(T) == 4)
                return Relate(Unsafe.BitCast<T, float>(left), Unsafe.BitCast<T, float>(right));
            return Relate(Unsafe.BitCast<T, double>(left), Unsafe.BitCast<T, double>(right));
        }
        return CompareExactly(left, right, mxcsr, quietSignals, ref flags);
    }

    private static Relation Relate(double left, double right) =>
        left < right ? Relation.Less : left == right ? Relation.Equal : Relation.Greater;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Relation CompareExactly<T>(T left, T right, uint mxcsr, bool quietSignals, ref int flags)
        where T : unmanaged
    {
        var control = default(FloatControl);
        Relation relation = SoftFloat.Compare(FloatLane.Unpack(left, mxcsr), FloatLane.Unpack(right, mxcsr), quietSignals, ref control);
        flags |= control.Flags;
        return relation;
    }

    /// <summary>Neither denormal nor NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsPlain<T>(T value)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            uint magnitude = Unsafe.BitCast<T, uint>(value) << 1;
            return magnitude == 0 || magnitude - (1u << 24) <= (0xffu << 24) - (1u << 24);
        }
        ulong wide = Unsafe.BitCast<T, ulong>(value) << 1;
        return wide == 0 || wide - (1ul << 53) <= (0x7fful << 53) - (1ul << 53);
    }

    /// <summary>All ones where the predicate (bits 0-2 of the immediate) holds.</summary>
    internal readonly struct Mask<T> : ILaneFunction<T>
        where T : unmanaged
    {
        public static T Apply(T left, T right, uint mxcsr, uint control, ref int flags)
        {
            // EQ LT LE UNORD, and their negations from 4 on; LT and LE signal quiet NaNs.
            uint predicate = control & 3;
            Relation relation = Compare(left, right, mxcsr, predicate is 1 or 2, ref flags);
            bool holds = predicate switch
            {
                0 => relation == Relation.Equal,
                1 => relation == Relation.Less,
                2 => relation <= Relation.Equal,
                _ => relation == Relation.Unordered,
            };
            return holds != ((control & 4) != 0) ? Vector128<T>.AllBitsSet.ToScalar() : default;
        }
    }

    // Of equal numbers (zeros) and of NaNs the second operand is the result.
    internal readonly struct Minimum<T> : ILaneFunction<T>
        where T : unmanaged
    {
        public static T Apply(T left, T right, uint mxcsr, uint control, ref int flags) =>
            Select(left, right, Compare(left, right, mxcsr, true, ref flags) == Relation.Less, mxcsr);
    }

    internal readonly struct Maximum<T> : ILaneFunction<T>
        where T : unmanaged
    {
        public static T Apply(T left, T right, uint mxcsr, uint control, ref int flags) =>
            Select(left, right, Compare(left, right, mxcsr, true, ref flags) == Relation.Greater, mxcsr);
    }

    private static T Select<T>(T left, T right, bool first, uint mxcsr)
        where T : unmanaged
    {
        T chosen = first ? left : right;
        return (mxcsr & FloatLane.DenormalsAreZero) == 0 ? chosen : FloatLane.Pack<T>(FloatLane.Unpack(chosen, mxcsr));
    }
}
