using System.Numerics;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.X87;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>
/// An arithmetic operation on one lane. <see cref="Fast{T}"/> is the host's, rounding to nearest; <see cref="Exact"/> the
/// reference, for all else.
/// </summary>
internal interface ILaneOperation
{
    /// <summary>Whether a zero result of ordinary operands is always exact.</summary>
    static abstract bool ZeroIsExact { get; }

    static abstract T Fast<T>(T left, T right)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>;

    /// <summary>Whether <paramref name="result"/>, correctly rounded, is the exact result (error-free transformation).</summary>
    static abstract bool IsExact<T>(T left, T right, T result)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>;

    static abstract Number Exact(in Number left, in Number right, FloatFormat format, ref FloatControl control);
}

/// <summary>One lane of SSE arithmetic, and what is common to all: formats, MXCSR, exceptions.</summary>
internal static unsafe class FloatLane
{
    public const uint DenormalsAreZero = 1 << 6, FlushToZero = 1 << 15;

    private const uint RoundingBits = 3 << 13, PrecisionMask = X87Flags.Precision << 7;

    /// <summary>
    /// The lane's result; exceptions raised are or-ed into <paramref name="flags"/>. The host computes where rounding is
    /// to nearest and operands and result are ordinary, so that inexactness is the only exception there can be.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Compute<TOperation, T>(T left, T right, uint mxcsr, ref int flags)
        where TOperation : struct, ILaneOperation
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        if ((mxcsr & (RoundingBits | PrecisionMask)) == PrecisionMask && IsOperand(left) && IsOperand(right))
        {
            T result = TOperation.Fast(left, right);
            if (IsOrdinary(result) || (TOperation.ZeroIsExact && T.IsZero(result)))
            {
                if ((mxcsr & X87Flags.Precision) == 0 && !TOperation.IsExact(left, right, result))
                    flags |= X87Flags.Precision;
                return result;
            }
        }
        return ComputeExactly<TOperation, T>(left, right, mxcsr, ref flags);
    }

    /// <summary>
    /// Adds exceptions to MXCSR. False: one of them is unmasked, #XM (or #UD where CR4.OSXMMEXCPT is clear) is recorded
    /// and the instruction stores nothing (Intel SDM 1, 11.5.3).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Commit(VcpuContext* c, int flags) => flags == 0 || CommitFlags(c, flags);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Number Unpack<T>(T value, uint mxcsr)
        where T : unmanaged
    {
        Number number = sizeof(T) == 4
            ? Number.FromSingle(Unsafe.BitCast<T, uint>(value))
            : Number.FromDouble(Unsafe.BitCast<T, ulong>(value));
        return number.Denormal && (mxcsr & DenormalsAreZero) != 0 ? Number.Zero(number.Negative) : number;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Pack<T>(in Number number)
        where T : unmanaged =>
        sizeof(T) == 4 ? Unsafe.BitCast<uint, T>(number.ToSingle()) : Unsafe.BitCast<ulong, T>(number.ToDouble());

    public static FloatFormat Format<T>()
        where T : unmanaged => sizeof(T) == 4 ? FloatFormat.Single : FloatFormat.Double;

    /// <summary>Whether the host's rounding is the guest's and an inexact result changes nothing: to nearest, precision masked and its flag set.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool RoundsAlike(uint mxcsr) =>
        (mxcsr & (RoundingBits | PrecisionMask | X87Flags.Precision)) == (PrecisionMask | X87Flags.Precision);

    /// <summary>Zero or normal with an exponent from which no error term underflows; not a denormal. Infinities and NaNs show in the result.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsOperand<T>(T value)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
        {
            uint magnitude = Unsafe.BitCast<T, uint>(value) << 1;
            return magnitude == 0 || magnitude >= 1u << 24;
        }
        ulong wide = Unsafe.BitCast<T, ulong>(value) << 1;
        return wide == 0 || wide >= 128ul << 53;
    }

    /// <summary>Finite, and far enough from the denormals that neither it nor its error term is one.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsOrdinary<T>(T value)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
            return ((Unsafe.BitCast<T, uint>(value) >> 23) & 0xff) - 2 < 253;
        return ((Unsafe.BitCast<T, ulong>(value) >> 52) & 0x7ff) - 128 < 2047 - 128;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static T ComputeExactly<TOperation, T>(T left, T right, uint mxcsr, ref int flags)
        where TOperation : struct, ILaneOperation
        where T : unmanaged
    {
        FloatControl control = FloatControl.FromMxcsr(mxcsr);
        Number result = TOperation.Exact(Unpack(left, mxcsr), Unpack(right, mxcsr), Format<T>(), ref control);
        flags |= control.Flags;
        return Pack<T>(result);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool CommitFlags(VcpuContext* c, int flags)
    {
        int unmasked = flags & ~(int)(c->State.Mxcsr >> 7) & X87Flags.Exceptions;
        // Exceptions found before computing keep those of the results from being reported.
        const int before = X87Flags.Invalid | X87Flags.Denormal | X87Flags.ZeroDivide;
        if ((unmasked & before) != 0)
            flags &= before;
        c->State.Mxcsr |= (uint)flags;
        if (unmasked == 0)
            return true;
        return c->Raise((c->State.Cr4 & Cr4.OSXMMEXCPT) != 0 ? Cpu.Vector.XM : Cpu.Vector.UD);
    }
}
