using System.Numerics;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Floating-point operations across lanes (SSE3, SSE4.1): horizontal and alternating sums, dot products; duplicating moves.</summary>
internal static unsafe class Horizontal
{
    public static readonly Row[] Rows =
    [
        Rows128<PairwiseSingle<FloatArithmetic.Add>>(Mnemonic.Haddps),
        Rows128<PairwiseDouble<FloatArithmetic.Add>>(Mnemonic.Haddpd),
        Rows128<PairwiseSingle<FloatArithmetic.Subtract>>(Mnemonic.Hsubps),
        Rows128<PairwiseDouble<FloatArithmetic.Subtract>>(Mnemonic.Hsubpd),
        Rows128<Alternating<float>>(Mnemonic.Addsubps),
        Rows128<Alternating<double>>(Mnemonic.Addsubpd),
        Rows128<DotSingle>(Mnemonic.Dpps),
        Rows128<DotDouble>(Mnemonic.Dppd),
        PackedRows.Xmm<DuplicateEven>(Mnemonic.Movsldup),
        PackedRows.Xmm<DuplicateOdd>(Mnemonic.Movshdup),
        new(Mnemonic.Movddup, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            return new Handler(Operands.HasMemory(instruction)
                ? &Xmm<DuplicateLow, ulong>.RegisterMemory : &Xmm<DuplicateLow, ulong>.RegisterRegister);
        }),
    ];

    /// <summary>Computes a whole vector.</summary>
    internal interface IVectorFunction
    {
        static abstract Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control, uint mxcsr, ref int flags);
    }

    private static Row Rows128<TFunction>(Mnemonic mnemonic)
        where TFunction : struct, IVectorFunction => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        return new Handler(Operands.HasMemory(instruction) ? &FromMemory<TFunction> : &FromRegister<TFunction>);
    });

    private static Op* FromRegister<TFunction>(VcpuContext* c, Op* op)
        where TFunction : struct, IVectorFunction
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return Finish<TFunction>(c, op, *(Vector128<byte>*)((byte*)c + op->Src));
    }

    private static Op* FromMemory<TFunction>(VcpuContext* c, Op* op)
        where TFunction : struct, IVectorFunction
    {
        if (!VectorState.SseReady(c) || !Operands.Fetch<Vector128<byte>>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return Finish<TFunction>(c, op, source);
    }

    private static Op* Finish<TFunction>(VcpuContext* c, Op* op, Vector128<byte> source)
        where TFunction : struct, IVectorFunction
    {
        Vector128<byte>* target = (Vector128<byte>*)((byte*)c + op->Dst);
        int flags = 0;
        Vector128<byte> result = TFunction.Apply(*target, source, op->Extra, c->State.Mxcsr, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        *target = result;
        return op + 1;
    }

    private static T Sum<T>(T left, T right, uint mxcsr, ref int flags)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => FloatLane.Compute<FloatArithmetic.Add, T>(left, right, mxcsr, ref flags);

    /// <summary>Whether exceptions so far include an unmasked one: later steps do not happen then.</summary>
    private static bool Stops(int flags, uint mxcsr) => (flags & ~(int)(mxcsr >> 7)) != 0;

    internal readonly struct PairwiseSingle<TOperation> : IVectorFunction
        where TOperation : struct, ILaneOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control, uint mxcsr, ref int flags)
        {
            Vector128<float> l = left.AsSingle(), r = right.AsSingle();
            return Vector128.Create(
                FloatLane.Compute<TOperation, float>(l[0], l[1], mxcsr, ref flags), FloatLane.Compute<TOperation, float>(l[2], l[3], mxcsr, ref flags),
                FloatLane.Compute<TOperation, float>(r[0], r[1], mxcsr, ref flags), FloatLane.Compute<TOperation, float>(r[2], r[3], mxcsr, ref flags)).AsByte();
        }
    }

    internal readonly struct PairwiseDouble<TOperation> : IVectorFunction
        where TOperation : struct, ILaneOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control, uint mxcsr, ref int flags)
        {
            Vector128<double> l = left.AsDouble(), r = right.AsDouble();
            return Vector128.Create(
                FloatLane.Compute<TOperation, double>(l[0], l[1], mxcsr, ref flags), FloatLane.Compute<TOperation, double>(r[0], r[1], mxcsr, ref flags)).AsByte();
        }
    }

    /// <summary>Even lanes subtract, odd lanes add.</summary>
    internal readonly struct Alternating<T> : IVectorFunction
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control, uint mxcsr, ref int flags)
        {
            Vector128<T> l = left.As<byte, T>(), r = right.As<byte, T>(), result = default;
            for (int i = 0; i < Vector128<T>.Count; i++)
                result = result.WithElement(i, (i & 1) == 0
                    ? FloatLane.Compute<FloatArithmetic.Subtract, T>(l[i], r[i], mxcsr, ref flags)
                    : FloatLane.Compute<FloatArithmetic.Add, T>(l[i], r[i], mxcsr, ref flags));
            return result.AsByte();
        }
    }

    /// <summary>Bits 4-7 of the control choose the products that count, bits 0-3 the lanes that get the sum.</summary>
    internal readonly struct DotSingle : IVectorFunction
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control, uint mxcsr, ref int flags)
        {
            Vector128<float> l = left.AsSingle(), r = right.AsSingle(), products = default, result = default;
            for (int i = 0; i < 4; i++)
            {
                if ((control >> (4 + i) & 1) != 0)
                    products = products.WithElement(i, FloatLane.Compute<FloatArithmetic.Multiply, float>(l[i], r[i], mxcsr, ref flags));
            }
            if (Stops(flags, mxcsr))
                return default;
            float low = Sum(products[0], products[1], mxcsr, ref flags), high = Sum(products[2], products[3], mxcsr, ref flags);
            if (Stops(flags, mxcsr))
                return default;
            float sum = Sum(low, high, mxcsr, ref flags);
            for (int i = 0; i < 4; i++)
            {
                if ((control >> i & 1) != 0)
                    result = result.WithElement(i, sum);
            }
            return result.AsByte();
        }
    }

    internal readonly struct DotDouble : IVectorFunction
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control, uint mxcsr, ref int flags)
        {
            Vector128<double> l = left.AsDouble(), r = right.AsDouble(), products = default, result = default;
            for (int i = 0; i < 2; i++)
            {
                if ((control >> (4 + i) & 1) != 0)
                    products = products.WithElement(i, FloatLane.Compute<FloatArithmetic.Multiply, double>(l[i], r[i], mxcsr, ref flags));
            }
            if (Stops(flags, mxcsr))
                return default;
            double sum = Sum(products[0], products[1], mxcsr, ref flags);
            for (int i = 0; i < 2; i++)
            {
                if ((control >> i & 1) != 0)
                    result = result.WithElement(i, sum);
            }
            return result.AsByte();
        }
    }

    internal readonly struct DuplicateEven : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Shuffle(right.AsUInt32(), Vector128.Create(0u, 0, 2, 2)).AsByte();
    }

    internal readonly struct DuplicateOdd : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Shuffle(right.AsUInt32(), Vector128.Create(1u, 1, 3, 3)).AsByte();
    }

    internal readonly struct DuplicateLow : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.Create(right.AsUInt64().ToScalar()).AsByte();
    }
}
