using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>FMA3: products of two operands with the third added before anything is rounded.</summary>
internal static unsafe class FusedMultiplyAdd
{
    /// <summary>In <see cref="Op.Extra"/>: the product's sign, the addend's sign in even and in odd lanes; above them which operands are multiplied.</summary>
    private const uint NegateProduct = 1, NegateEven = 2, NegateOdd = 4, NegateAddend = NegateEven | NegateOdd;
    private const int OrderShift = 4;
    private const uint Order132 = 0, Order213 = 1, Order231 = 2;

    public static readonly Row[] Rows =
    [
        .. Packed<float>(0, Mnemonic.Vfmadd132ps, Mnemonic.Vfmadd213ps, Mnemonic.Vfmadd231ps),
        .. Packed<double>(0, Mnemonic.Vfmadd132pd, Mnemonic.Vfmadd213pd, Mnemonic.Vfmadd231pd),
        .. Scalar<float>(0, Mnemonic.Vfmadd132ss, Mnemonic.Vfmadd213ss, Mnemonic.Vfmadd231ss),
        .. Scalar<double>(0, Mnemonic.Vfmadd132sd, Mnemonic.Vfmadd213sd, Mnemonic.Vfmadd231sd),
        .. Packed<float>(NegateAddend, Mnemonic.Vfmsub132ps, Mnemonic.Vfmsub213ps, Mnemonic.Vfmsub231ps),
        .. Packed<double>(NegateAddend, Mnemonic.Vfmsub132pd, Mnemonic.Vfmsub213pd, Mnemonic.Vfmsub231pd),
        .. Scalar<float>(NegateAddend, Mnemonic.Vfmsub132ss, Mnemonic.Vfmsub213ss, Mnemonic.Vfmsub231ss),
        .. Scalar<double>(NegateAddend, Mnemonic.Vfmsub132sd, Mnemonic.Vfmsub213sd, Mnemonic.Vfmsub231sd),
        .. Packed<float>(NegateProduct, Mnemonic.Vfnmadd132ps, Mnemonic.Vfnmadd213ps, Mnemonic.Vfnmadd231ps),
        .. Packed<double>(NegateProduct, Mnemonic.Vfnmadd132pd, Mnemonic.Vfnmadd213pd, Mnemonic.Vfnmadd231pd),
        .. Scalar<float>(NegateProduct, Mnemonic.Vfnmadd132ss, Mnemonic.Vfnmadd213ss, Mnemonic.Vfnmadd231ss),
        .. Scalar<double>(NegateProduct, Mnemonic.Vfnmadd132sd, Mnemonic.Vfnmadd213sd, Mnemonic.Vfnmadd231sd),
        .. Packed<float>(NegateProduct | NegateAddend, Mnemonic.Vfnmsub132ps, Mnemonic.Vfnmsub213ps, Mnemonic.Vfnmsub231ps),
        .. Packed<double>(NegateProduct | NegateAddend, Mnemonic.Vfnmsub132pd, Mnemonic.Vfnmsub213pd, Mnemonic.Vfnmsub231pd),
        .. Scalar<float>(NegateProduct | NegateAddend, Mnemonic.Vfnmsub132ss, Mnemonic.Vfnmsub213ss, Mnemonic.Vfnmsub231ss),
        .. Scalar<double>(NegateProduct | NegateAddend, Mnemonic.Vfnmsub132sd, Mnemonic.Vfnmsub213sd, Mnemonic.Vfnmsub231sd),
        .. Packed<float>(NegateEven, Mnemonic.Vfmaddsub132ps, Mnemonic.Vfmaddsub213ps, Mnemonic.Vfmaddsub231ps),
        .. Packed<double>(NegateEven, Mnemonic.Vfmaddsub132pd, Mnemonic.Vfmaddsub213pd, Mnemonic.Vfmaddsub231pd),
        .. Packed<float>(NegateOdd, Mnemonic.Vfmsubadd132ps, Mnemonic.Vfmsubadd213ps, Mnemonic.Vfmsubadd231ps),
        .. Packed<double>(NegateOdd, Mnemonic.Vfmsubadd132pd, Mnemonic.Vfmsubadd213pd, Mnemonic.Vfmsubadd231pd),
    ];

    private static Row[] Packed<T>(uint signs, Mnemonic order132, Mnemonic order213, Mnemonic order231)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => Orders<AllLanes<T>>(signs, order132, order213, order231);

    private static Row[] Scalar<T>(uint signs, Mnemonic order132, Mnemonic order213, Mnemonic order231)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => Orders<LowestLane<T>>(signs, order132, order213, order231);

    private static Row[] Orders<TForms>(uint signs, Mnemonic order132, Mnemonic order213, Mnemonic order231)
        where TForms : struct, IVexForms =>
        [Ordered<TForms>(order132, signs | Order132 << OrderShift), Ordered<TForms>(order213, signs | Order213 << OrderShift), Ordered<TForms>(order231, signs | Order231 << OrderShift)];

    private static Row Ordered<TForms>(Mnemonic mnemonic, uint extra)
        where TForms : struct, IVexForms => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Handler handler = VexForm.Pick<TForms>(instruction, ref op);
        op.Extra = extra;
        return handler;
    });

    private readonly struct AllLanes<T> : IVexForms
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

        private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth
        {
            if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> third))
                return VectorState.Leave(c, op);
            Vector256<byte> first = *(Vector256<byte>*)((byte*)c + op->Dst), second = VexForm.First(c, op), result = default;
            uint mxcsr = c->State.Mxcsr;
            int flags = 0;
            for (int i = 0; i < (TWidth.Is256 ? 32 : 16) / sizeof(T); i++)
                ((T*)&result)[i] = Compute(((T*)&first)[i], ((T*)&second)[i], ((T*)&third)[i], op->Extra, (op->Extra & (NegateEven << (i & 1))) != 0, mxcsr, ref flags);
            return FloatLane.Commit(c, flags) ? VexForm.Write(c, op, result.GetLower(), result.GetUpper()) : VectorState.Leave(c, op);
        }
    }

    private readonly struct LowestLane<T> : IVexForms
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out T third))
                return VectorState.Leave(c, op);
            Vector128<byte> result = *(Vector128<byte>*)((byte*)c + op->Dst), second = VexForm.First(c, op).GetLower();
            int flags = 0;
            *(T*)&result = Compute(*(T*)&result, *(T*)&second, third, op->Extra, (op->Extra & NegateEven) != 0, c->State.Mxcsr, ref flags);
            return FloatLane.Commit(c, flags) ? VexForm.Write(c, op, result) : VectorState.Leave(c, op);
        }
    }

    private static T Compute<T>(T first, T second, T third, uint order, bool negateAddend, uint mxcsr, ref int flags)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        bool negateProduct = (order & NegateProduct) != 0;
        return (order >> OrderShift) switch
        {
            Order132 => Compute(first, third, second, negateProduct, negateAddend, mxcsr, ref flags),
            Order213 => Compute(second, first, third, negateProduct, negateAddend, mxcsr, ref flags),
            _ => Compute(second, third, first, negateProduct, negateAddend, mxcsr, ref flags),
        };
    }

    /// <summary>The host computes where the operands are ordinary and inexactness has been recorded already.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Compute<T>(T left, T right, T addend, bool negateProduct, bool negateAddend, uint mxcsr, ref int flags)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        if (FloatLane.RoundsAlike(mxcsr) && FloatLane.IsOperand(left) && FloatLane.IsOperand(right) && FloatLane.IsOperand(addend))
        {
            T result = T.FusedMultiplyAdd(negateProduct ? -left : left, right, negateAddend ? -addend : addend);
            if (FloatLane.IsOrdinary(result))
                return result;
        }
        return ComputeExactly(left, right, addend, negateProduct, negateAddend, mxcsr, ref flags);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static T ComputeExactly<T>(T left, T right, T addend, bool negateProduct, bool negateAddend, uint mxcsr, ref int flags)
        where T : unmanaged
    {
        FloatControl control = FloatControl.FromMxcsr(mxcsr);
        Number a = FloatLane.Unpack(left, mxcsr), b = FloatLane.Unpack(right, mxcsr), c = FloatLane.Unpack(addend, mxcsr);
        Number result = SoftFloat.MultiplyAdd(
            negateProduct && !a.IsNaN ? a.Negated() : a, b, negateAddend && !c.IsNaN ? c.Negated() : c, FloatLane.Format<T>(), ref control);
        flags |= control.Flags;
        return FloatLane.Pack<T>(result);
    }
}
