using System.Numerics;
using System.Runtime.Intrinsics;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Integer arithmetic, comparison, minimum and maximum, averages and packing (MMX, SSE, SSE2).</summary>
internal static class PackedInteger
{
    public static readonly Row[] Rows =
    [
        PackedRows.Both<Add<byte>>(Mnemonic.Paddb),
        PackedRows.Both<Add<ushort>>(Mnemonic.Paddw),
        PackedRows.Both<Add<uint>>(Mnemonic.Paddd),
        PackedRows.Both<Add<ulong>>(Mnemonic.Paddq),
        PackedRows.Both<Subtract<byte>>(Mnemonic.Psubb),
        PackedRows.Both<Subtract<ushort>>(Mnemonic.Psubw),
        PackedRows.Both<Subtract<uint>>(Mnemonic.Psubd),
        PackedRows.Both<Subtract<ulong>>(Mnemonic.Psubq),
        PackedRows.Both<AddSaturating<sbyte>>(Mnemonic.Paddsb),
        PackedRows.Both<AddSaturating<short>>(Mnemonic.Paddsw),
        PackedRows.Both<AddSaturating<byte>>(Mnemonic.Paddusb),
        PackedRows.Both<AddSaturating<ushort>>(Mnemonic.Paddusw),
        PackedRows.Both<SubtractSaturating<sbyte>>(Mnemonic.Psubsb),
        PackedRows.Both<SubtractSaturating<short>>(Mnemonic.Psubsw),
        PackedRows.Both<SubtractSaturating<byte>>(Mnemonic.Psubusb),
        PackedRows.Both<SubtractSaturating<ushort>>(Mnemonic.Psubusw),
        PackedRows.Both<MultiplyLow>(Mnemonic.Pmullw),
        PackedRows.Both<MultiplyHigh>(Mnemonic.Pmulhw),
        PackedRows.Both<MultiplyHighUnsigned>(Mnemonic.Pmulhuw),
        PackedRows.Both<MultiplyEvenDwords>(Mnemonic.Pmuludq),
        PackedRows.Both<MultiplyAdd>(Mnemonic.Pmaddwd),
        PackedRows.Both<SumOfDifferences>(Mnemonic.Psadbw),
        PackedRows.Both<Average<byte>>(Mnemonic.Pavgb),
        PackedRows.Both<Average<ushort>>(Mnemonic.Pavgw),
        PackedRows.Both<Minimum<byte>>(Mnemonic.Pminub),
        PackedRows.Both<Minimum<short>>(Mnemonic.Pminsw),
        PackedRows.Both<Maximum<byte>>(Mnemonic.Pmaxub),
        PackedRows.Both<Maximum<short>>(Mnemonic.Pmaxsw),
        PackedRows.Both<CompareEqual<byte>>(Mnemonic.Pcmpeqb),
        PackedRows.Both<CompareEqual<ushort>>(Mnemonic.Pcmpeqw),
        PackedRows.Both<CompareEqual<uint>>(Mnemonic.Pcmpeqd),
        PackedRows.Both<CompareGreater<sbyte>>(Mnemonic.Pcmpgtb),
        PackedRows.Both<CompareGreater<short>>(Mnemonic.Pcmpgtw),
        PackedRows.Both<CompareGreater<int>>(Mnemonic.Pcmpgtd),
        PackedRows.Both<PackSignedWords, SideBySide>(Mnemonic.Packsswb),
        PackedRows.Both<PackUnsignedWords, SideBySide>(Mnemonic.Packuswb),
        PackedRows.Both<PackSignedDwords, SideBySide>(Mnemonic.Packssdw),
    ];

    internal readonly struct Add<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => (left.As<byte, T>() + right.As<byte, T>()).AsByte();
    }

    internal readonly struct Subtract<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => (left.As<byte, T>() - right.As<byte, T>()).AsByte();
    }

    internal readonly struct AddSaturating<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.AddSaturate(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct SubtractSaturating<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.SubtractSaturate(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct MultiplyLow : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => (left.AsInt16() * right.AsInt16()).AsByte();
    }

    internal readonly struct MultiplyHigh : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> leftLow, Vector128<int> leftHigh) = Vector128.Widen(left.AsInt16());
            (Vector128<int> rightLow, Vector128<int> rightHigh) = Vector128.Widen(right.AsInt16());
            return Vector128.Narrow((leftLow * rightLow) >> 16, (leftHigh * rightHigh) >> 16).AsByte();
        }
    }

    internal readonly struct MultiplyHighUnsigned : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<uint> leftLow, Vector128<uint> leftHigh) = Vector128.Widen(left.AsUInt16());
            (Vector128<uint> rightLow, Vector128<uint> rightHigh) = Vector128.Widen(right.AsUInt16());
            return Vector128.Narrow((leftLow * rightLow) >> 16, (leftHigh * rightHigh) >> 16).AsByte();
        }
    }

    internal readonly struct MultiplyEvenDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<ulong> mask = Vector128.Create((ulong)uint.MaxValue);
            return ((left.AsUInt64() & mask) * (right.AsUInt64() & mask)).AsByte();
        }
    }

    internal readonly struct MultiplyAdd : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<int> a = left.AsInt32(), b = right.AsInt32();
            Vector128<int> even = ((a << 16) >> 16) * ((b << 16) >> 16);
            return (even + (a >> 16) * (b >> 16)).AsByte();
        }
    }

    internal readonly struct SumOfDifferences : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<ushort> difference = (Vector128.Max(left, right) - Vector128.Min(left, right)).AsUInt16();
            Vector128<ulong> pairs = ((difference & Vector128.Create((ushort)0xff)) + (difference >>> 8)).AsUInt64();
            // Multiplying by ones in every word leaves the sum of the four words in the highest; it is at most 2040.
            return ((pairs * Vector128.Create(0x0001_0001_0001_0001ul)) >>> 48).AsByte();
        }
    }

    internal readonly struct Average<T> : IPackedOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            // (a + b + 1) / 2 without the carry: (a | b) - (a ^ b) / 2.
            Vector128<T> a = left.As<byte, T>(), b = right.As<byte, T>();
            return ((a | b) - ((a ^ b) >>> 1)).AsByte();
        }
    }

    internal readonly struct Minimum<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Min(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct Maximum<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Max(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct CompareEqual<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Equals(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct CompareGreater<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.GreaterThan(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct PackSignedWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.NarrowWithSaturation(left.AsInt16(), right.AsInt16()).AsByte();
    }

    internal readonly struct PackUnsignedWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Narrow(Clamp(left.AsInt16()).AsUInt16(), Clamp(right.AsInt16()).AsUInt16());

        private static Vector128<short> Clamp(Vector128<short> value) =>
            Vector128.Min(Vector128.Max(value, Vector128<short>.Zero), Vector128.Create((short)255));
    }

    internal readonly struct PackSignedDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.NarrowWithSaturation(left.AsInt32(), right.AsInt32()).AsByte();
    }
}
