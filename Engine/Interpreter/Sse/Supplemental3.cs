using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>SSSE3: horizontal sums, signs, byte shuffles, alignment and rounding products, for MMX and XMM registers.</summary>
internal static unsafe class Supplemental3
{
    public static readonly Row[] Rows =
    [
        PackedRows.Both<Absolute<sbyte>>(Mnemonic.Pabsb),
        PackedRows.Both<Absolute<short>>(Mnemonic.Pabsw),
        PackedRows.Both<Absolute<int>>(Mnemonic.Pabsd),
        PackedRows.Both<Sign<sbyte>>(Mnemonic.Psignb),
        PackedRows.Both<Sign<short>>(Mnemonic.Psignw),
        PackedRows.Both<Sign<int>>(Mnemonic.Psignd),
        PackedRows.Both<AddPairsOfWords, SideBySide>(Mnemonic.Phaddw),
        PackedRows.Both<AddPairsOfDwords, SideBySide>(Mnemonic.Phaddd),
        PackedRows.Both<AddPairsSaturating, SideBySide>(Mnemonic.Phaddsw),
        PackedRows.Both<SubtractPairsOfWords, SideBySide>(Mnemonic.Phsubw),
        PackedRows.Both<SubtractPairsOfDwords, SideBySide>(Mnemonic.Phsubd),
        PackedRows.Both<SubtractPairsSaturating, SideBySide>(Mnemonic.Phsubsw),
        PackedRows.Both<MultiplyAddBytes>(Mnemonic.Pmaddubsw),
        PackedRows.Both<MultiplyRounded>(Mnemonic.Pmulhrsw),
        PackedRows.Both<ShuffleBytes, Repeated>(Mnemonic.Pshufb),
        new(Mnemonic.Palignr, SelectAlign),
    ];

    private static Handler SelectAlign(in Instruction instruction, ref Op op)
    {
        Operands.Bind(instruction, ref op);
        bool memory = Operands.HasMemory(instruction);
        if (instruction.Op0Register is >= Register.MM0 and <= Register.MM7)
            return new Handler(memory ? &AlignMmxMemory : &AlignMmx);
        return new Handler(memory ? &XmmControlled<Align>.RegisterMemory : &XmmControlled<Align>.RegisterRegister);
    }

    private static Op* AlignMmx(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        return FinishAlign(c, op, *(ulong*)((byte*)c + op->Src));
    }

    private static Op* AlignMmxMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out ulong source))
            return VectorState.Leave(c, op);
        return FinishAlign(c, op, source);
    }

    private static Op* FinishAlign(VcpuContext* c, Op* op, ulong low)
    {
        var both = new UInt128(*(ulong*)((byte*)c + op->Dst), low);
        VectorState.EnterMmx(c);
        VectorState.WriteMmx(c, op->Dst, op->Extra > 15 ? 0 : (ulong)(both >> (int)(op->Extra * 8)));
        return op + 1;
    }

    /// <summary>Even and odd words of two vectors as dwords: what horizontal operations combine.</summary>
    private static (Vector128<int> Even, Vector128<int> Odd) Words(Vector128<byte> vector) =>
        ((vector.AsInt32() << 16) >> 16, vector.AsInt32() >> 16);

    private static (Vector128<int> Even, Vector128<int> Odd) Dwords(Vector128<byte> left, Vector128<byte> right)
    {
        Vector128<int> l = left.AsInt32(), r = right.AsInt32();
        return (Vector128.Create(l[0], l[2], r[0], r[2]), Vector128.Create(l[1], l[3], r[1], r[3]));
    }

    /// <summary>Byte selectors of 64-bit shuffles go round at eight: the source repeated makes the upper half the lower one.</summary>
    internal readonly struct Repeated : IMmxForm
    {
        public static ulong Apply<TOperation>(ulong left, ulong right)
            where TOperation : struct, IPackedOperation =>
            TOperation.Apply(Vector128.Create(left, left).AsByte(), Vector128.CreateScalar(right).AsByte()).AsUInt64().ToScalar();
    }

    internal readonly struct Absolute<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.Abs(right.As<byte, T>()).AsByte();
    }

    internal readonly struct Sign<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<T> value = left.As<byte, T>(), sign = right.As<byte, T>();
            Vector128<T> result = Vector128.ConditionalSelect(Vector128.LessThan(sign, Vector128<T>.Zero), Vector128<T>.Zero - value, value);
            return Vector128.AndNot(result, Vector128.Equals(sign, Vector128<T>.Zero)).AsByte();
        }
    }

    internal readonly struct AddPairsOfWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> leftEven, Vector128<int> leftOdd) = Words(left);
            (Vector128<int> rightEven, Vector128<int> rightOdd) = Words(right);
            return Vector128.Narrow(leftEven + leftOdd, rightEven + rightOdd).AsByte();
        }
    }

    internal readonly struct AddPairsSaturating : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> leftEven, Vector128<int> leftOdd) = Words(left);
            (Vector128<int> rightEven, Vector128<int> rightOdd) = Words(right);
            return Vector128.NarrowWithSaturation(leftEven + leftOdd, rightEven + rightOdd).AsByte();
        }
    }

    internal readonly struct SubtractPairsOfWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> leftEven, Vector128<int> leftOdd) = Words(left);
            (Vector128<int> rightEven, Vector128<int> rightOdd) = Words(right);
            return Vector128.Narrow(leftEven - leftOdd, rightEven - rightOdd).AsByte();
        }
    }

    internal readonly struct SubtractPairsSaturating : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> leftEven, Vector128<int> leftOdd) = Words(left);
            (Vector128<int> rightEven, Vector128<int> rightOdd) = Words(right);
            return Vector128.NarrowWithSaturation(leftEven - leftOdd, rightEven - rightOdd).AsByte();
        }
    }

    internal readonly struct AddPairsOfDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> even, Vector128<int> odd) = Dwords(left, right);
            return (even + odd).AsByte();
        }
    }

    internal readonly struct SubtractPairsOfDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> even, Vector128<int> odd) = Dwords(left, right);
            return (even - odd).AsByte();
        }
    }

    /// <summary>Unsigned bytes of the first times signed bytes of the second, pairs added with saturation.</summary>
    internal readonly struct MultiplyAddBytes : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<short> even = (left.AsInt16() & Vector128.Create((short)0xff)) * ((right.AsInt16() << 8) >> 8);
            Vector128<short> odd = (left.AsUInt16() >>> 8).AsInt16() * (right.AsInt16() >> 8);
            return Vector128.AddSaturate(even, odd).AsByte();
        }
    }

    internal readonly struct MultiplyRounded : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (Vector128<int> leftLow, Vector128<int> leftHigh) = Vector128.Widen(left.AsInt16());
            (Vector128<int> rightLow, Vector128<int> rightHigh) = Vector128.Widen(right.AsInt16());
            return Vector128.Narrow(Round(leftLow * rightLow), Round(leftHigh * rightHigh)).AsByte();
        }

        private static Vector128<int> Round(Vector128<int> product) => ((product >> 14) + Vector128<int>.One) >> 1;
    }

    internal readonly struct ShuffleBytes : IPackedOperation
    {
        // A selector with its highest bit set gives zero, as does any out of range for the host's shuffle.
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Shuffle(left, right & Vector128.Create((byte)0x8f));
    }

    internal readonly struct Align : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control)
        {
            if (control > 31)
                return default;
            byte* both = stackalloc byte[48];
            *(Vector128<byte>*)both = right;
            *(Vector128<byte>*)(both + 16) = left;
            *(Vector128<byte>*)(both + 32) = default;
            return *(Vector128<byte>*)(both + control);
        }
    }
}
