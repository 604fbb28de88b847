using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Bitwise logic and shifts (MMX, SSE, SSE2); the floating-point spellings are the same operations.</summary>
internal static class PackedBits
{
    public static readonly Row[] Rows =
    [
        PackedRows.Both<And>(Mnemonic.Pand),
        PackedRows.Both<AndNot>(Mnemonic.Pandn),
        PackedRows.Both<Or>(Mnemonic.Por),
        PackedRows.Both<Xor>(Mnemonic.Pxor),
        PackedRows.Xmm<And>(Mnemonic.Andps),
        PackedRows.Xmm<And>(Mnemonic.Andpd),
        PackedRows.Xmm<AndNot>(Mnemonic.Andnps),
        PackedRows.Xmm<AndNot>(Mnemonic.Andnpd),
        PackedRows.Xmm<Or>(Mnemonic.Orps),
        PackedRows.Xmm<Or>(Mnemonic.Orpd),
        PackedRows.Xmm<Xor>(Mnemonic.Xorps),
        PackedRows.Xmm<Xor>(Mnemonic.Xorpd),
        PackedRows.Both<ShiftLeft<ushort>>(Mnemonic.Psllw),
        PackedRows.Both<ShiftLeft<uint>>(Mnemonic.Pslld),
        PackedRows.Both<ShiftLeft<ulong>>(Mnemonic.Psllq),
        PackedRows.Both<ShiftRight<ushort>>(Mnemonic.Psrlw),
        PackedRows.Both<ShiftRight<uint>>(Mnemonic.Psrld),
        PackedRows.Both<ShiftRight<ulong>>(Mnemonic.Psrlq),
        PackedRows.Both<ShiftArithmetic<short>>(Mnemonic.Psraw),
        PackedRows.Both<ShiftArithmetic<int>>(Mnemonic.Psrad),
        PackedRows.Xmm<ShiftBytesLeft>(Mnemonic.Pslldq),
        PackedRows.Xmm<ShiftBytesRight>(Mnemonic.Psrldq),
    ];

    internal readonly struct And : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => left & right;
    }

    internal readonly struct AndNot : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => ~left & right;
    }

    internal readonly struct Or : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => left | right;
    }

    internal readonly struct Xor : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => left ^ right;
    }

    // The count is the low 64 bits of the second operand, not taken modulo the element size.
    internal readonly struct ShiftLeft<T> : IPackedOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            ulong count = right.AsUInt64().ToScalar();
            return count >= (ulong)(Unsafe.SizeOf<T>() * 8) ? default : (left.As<byte, T>() << (int)count).AsByte();
        }
    }

    internal readonly struct ShiftRight<T> : IPackedOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            ulong count = right.AsUInt64().ToScalar();
            return count >= (ulong)(Unsafe.SizeOf<T>() * 8) ? default : (left.As<byte, T>() >>> (int)count).AsByte();
        }
    }

    internal readonly struct ShiftArithmetic<T> : IPackedOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            ulong count = Math.Min(right.AsUInt64().ToScalar(), (ulong)(Unsafe.SizeOf<T>() * 8 - 1));
            return (left.As<byte, T>() >> (int)count).AsByte();
        }
    }

    internal readonly struct ShiftBytesLeft : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            ulong count = right.AsUInt64().ToScalar();
            return count > 15 ? default : Unsafe.BitCast<UInt128, Vector128<byte>>(Unsafe.BitCast<Vector128<byte>, UInt128>(left) << (int)(count * 8));
        }
    }

    internal readonly struct ShiftBytesRight : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            ulong count = right.AsUInt64().ToScalar();
            return count > 15 ? default : Unsafe.BitCast<UInt128, Vector128<byte>>(Unsafe.BitCast<Vector128<byte>, UInt128>(left) >> (int)(count * 8));
        }
    }
}
