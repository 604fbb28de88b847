using System.Numerics;
using System.Runtime.CompilerServices;
using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Addition, subtraction, multiplication, division and square root, packed and scalar.</summary>
internal static class FloatArithmetic
{
    public static readonly Row[] Rows =
    [
        .. FloatRows.Arithmetic<Add>(Mnemonic.Addps, Mnemonic.Addpd, Mnemonic.Addss, Mnemonic.Addsd),
        .. FloatRows.Arithmetic<Subtract>(Mnemonic.Subps, Mnemonic.Subpd, Mnemonic.Subss, Mnemonic.Subsd),
        .. FloatRows.Arithmetic<Multiply>(Mnemonic.Mulps, Mnemonic.Mulpd, Mnemonic.Mulss, Mnemonic.Mulsd),
        .. FloatRows.Arithmetic<Divide>(Mnemonic.Divps, Mnemonic.Divpd, Mnemonic.Divss, Mnemonic.Divsd),
        .. FloatRows.Arithmetic<SquareRoot>(Mnemonic.Sqrtps, Mnemonic.Sqrtpd, Mnemonic.Sqrtss, Mnemonic.Sqrtsd),
    ];

    /// <summary>Whether left * right is exactly the product: in double for singles, by the FMA's residual for doubles.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool IsProduct<T>(T left, T right, T product)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> =>
        typeof(T) == typeof(float)
            ? double.CreateTruncating(left) * double.CreateTruncating(right) == double.CreateTruncating(product)
            : T.IsZero(T.FusedMultiplyAdd(left, right, -product));

    internal readonly struct Add : ILaneOperation
    {
        public static bool ZeroIsExact => true;

        public static T Fast<T>(T left, T right)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => left + right;

        // Knuth's two-sum: the rounding error of an addition is itself a floating-point number.
        public static bool IsExact<T>(T left, T right, T result)
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            T share = result - left;
            return T.IsZero((left - (result - share)) + (right - share));
        }

        public static Number Exact(in Number left, in Number right, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Add(left, right, format, ref control);
    }

    internal readonly struct Subtract : ILaneOperation
    {
        public static bool ZeroIsExact => true;

        public static T Fast<T>(T left, T right)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => left - right;

        public static bool IsExact<T>(T left, T right, T result)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => Add.IsExact(left, -right, result);

        public static Number Exact(in Number left, in Number right, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Subtract(left, right, format, ref control);
    }

    internal readonly struct Multiply : ILaneOperation
    {
        public static bool ZeroIsExact => false;

        public static T Fast<T>(T left, T right)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => left * right;

        public static bool IsExact<T>(T left, T right, T result)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => IsProduct(left, right, result);

        public static Number Exact(in Number left, in Number right, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Multiply(left, right, format, ref control);
    }

    internal readonly struct Divide : ILaneOperation
    {
        public static bool ZeroIsExact => false;

        public static T Fast<T>(T left, T right)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => left / right;

        public static bool IsExact<T>(T left, T right, T result)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => IsProduct(result, right, left);

        public static Number Exact(in Number left, in Number right, FloatFormat format, ref FloatControl control) =>
            SoftFloat.Divide(left, right, format, ref control);
    }

    /// <summary>Of the second operand; the first is only where the result goes.</summary>
    internal readonly struct SquareRoot : ILaneOperation
    {
        public static bool ZeroIsExact => true;

        public static T Fast<T>(T left, T right)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => T.Sqrt(right);

        public static bool IsExact<T>(T left, T right, T result)
            where T : unmanaged, IBinaryFloatingPointIeee754<T> => IsProduct(result, result, right);

        public static Number Exact(in Number left, in Number right, FloatFormat format, ref FloatControl control) =>
            SoftFloat.SquareRoot(right, format, ref control);
    }
}
