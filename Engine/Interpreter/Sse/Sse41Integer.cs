using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Integer operations of SSE4.1 and SSE4.2: widening moves, more minima and maxima, products, comparisons, PTEST.</summary>
internal static unsafe class Sse41Integer
{
    public static readonly Row[] Rows =
    [
        PackedRows.Xmm<Minimum<sbyte>>(Mnemonic.Pminsb), PackedRows.Xmm<Maximum<sbyte>>(Mnemonic.Pmaxsb),
        PackedRows.Xmm<Minimum<ushort>>(Mnemonic.Pminuw), PackedRows.Xmm<Maximum<ushort>>(Mnemonic.Pmaxuw),
        PackedRows.Xmm<Minimum<int>>(Mnemonic.Pminsd), PackedRows.Xmm<Maximum<int>>(Mnemonic.Pmaxsd),
        PackedRows.Xmm<Minimum<uint>>(Mnemonic.Pminud), PackedRows.Xmm<Maximum<uint>>(Mnemonic.Pmaxud),
        PackedRows.Xmm<MultiplyLow>(Mnemonic.Pmulld),
        PackedRows.Xmm<MultiplyEven>(Mnemonic.Pmuldq),
        PackedRows.Xmm<PackUnsigned>(Mnemonic.Packusdw),
        PackedRows.Xmm<CompareEqual>(Mnemonic.Pcmpeqq),
        PackedRows.Xmm<CompareGreater>(Mnemonic.Pcmpgtq),
        PackedRows.Xmm<MinimumPosition>(Mnemonic.Phminposuw),
        PackedRows.Controlled<SumsOfDifferences>(Mnemonic.Mpsadbw),
        Widening<SignedBytesToWords, ulong>(Mnemonic.Pmovsxbw), Widening<BytesToWords, ulong>(Mnemonic.Pmovzxbw),
        Widening<SignedBytesToDwords, uint>(Mnemonic.Pmovsxbd), Widening<BytesToDwords, uint>(Mnemonic.Pmovzxbd),
        Widening<SignedBytesToQwords, ushort>(Mnemonic.Pmovsxbq), Widening<BytesToQwords, ushort>(Mnemonic.Pmovzxbq),
        Widening<SignedWordsToDwords, ulong>(Mnemonic.Pmovsxwd), Widening<WordsToDwords, ulong>(Mnemonic.Pmovzxwd),
        Widening<SignedWordsToQwords, uint>(Mnemonic.Pmovsxwq), Widening<WordsToQwords, uint>(Mnemonic.Pmovzxwq),
        Widening<SignedDwordsToQwords, ulong>(Mnemonic.Pmovsxdq), Widening<DwordsToQwords, ulong>(Mnemonic.Pmovzxdq),
        new(Mnemonic.Ptest, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            return new Handler(Operands.HasMemory(instruction) ? &TestMemory : &TestRegister);
        }),
    ];

    private static Row Widening<TOperation, TMemory>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation
        where TMemory : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        return new Handler(Operands.HasMemory(instruction) ? &Xmm<TOperation, TMemory>.RegisterMemory : &Xmm<TOperation, TMemory>.RegisterRegister);
    });

    private static Op* TestRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return FinishTest(c, op, *(Vector128<byte>*)((byte*)c + op->Src));
    }

    private static Op* TestMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !Operands.Fetch<Vector128<byte>>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return FinishTest(c, op, source);
    }

    private static Op* FinishTest(VcpuContext* c, Op* op, Vector128<byte> source)
    {
        Vector128<byte> target = *(Vector128<byte>*)((byte*)c + op->Dst);
        c->SetArithmetic(((source & target) == default ? Rflags.ZF : 0) | ((source & ~target) == default ? Rflags.CF : 0));
        return op + 1;
    }

    internal readonly struct Minimum<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.Min(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct Maximum<T> : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.Max(left.As<byte, T>(), right.As<byte, T>()).AsByte();
    }

    internal readonly struct MultiplyLow : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => (left.AsInt32() * right.AsInt32()).AsByte();
    }

    internal readonly struct MultiplyEven : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            (((left.AsInt64() << 32) >> 32) * ((right.AsInt64() << 32) >> 32)).AsByte();
    }

    internal readonly struct PackUnsigned : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Narrow(Clamp(left.AsInt32()).AsUInt32(), Clamp(right.AsInt32()).AsUInt32()).AsByte();

        private static Vector128<int> Clamp(Vector128<int> value) => Vector128.Min(Vector128.Max(value, Vector128<int>.Zero), Vector128.Create(0xffff));
    }

    internal readonly struct CompareEqual : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.Equals(left.AsUInt64(), right.AsUInt64()).AsByte();
    }

    internal readonly struct CompareGreater : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.GreaterThan(left.AsInt64(), right.AsInt64()).AsByte();
    }

    /// <summary>The least word and, beside it, the index of the first that has it.</summary>
    internal readonly struct MinimumPosition : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<ushort> words = right.AsUInt16();
            int best = 0;
            for (int i = 1; i < 8; i++)
            {
                if (words[i] < words[best])
                    best = i;
            }
            return Vector128.CreateScalar(words[best] | (ulong)best << 16).AsByte();
        }
    }

    /// <summary>Eight sums of four absolute differences; the control chooses the blocks.</summary>
    internal readonly struct SumsOfDifferences : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control)
        {
            int first = (int)(control & 4), second = (int)(control & 3) * 4;
            Vector128<ushort> result = default;
            for (int i = 0; i < 8; i++)
            {
                int sum = 0;
                for (int k = 0; k < 4; k++)
                    sum += Math.Abs(left[first + i + k] - right[second + k]);
                result = result.WithElement(i, (ushort)sum);
            }
            return result.AsByte();
        }
    }

    internal readonly struct SignedBytesToWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.WidenLower(right.AsSByte()).AsByte();
    }

    internal readonly struct BytesToWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.WidenLower(right).AsByte();
    }

    internal readonly struct SignedBytesToDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.WidenLower(Vector128.WidenLower(right.AsSByte())).AsByte();
    }

    internal readonly struct BytesToDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.WidenLower(Vector128.WidenLower(right)).AsByte();
    }

    internal readonly struct SignedBytesToQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.WidenLower(Vector128.WidenLower(Vector128.WidenLower(right.AsSByte()))).AsByte();
    }

    internal readonly struct BytesToQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.WidenLower(Vector128.WidenLower(Vector128.WidenLower(right))).AsByte();
    }

    internal readonly struct SignedWordsToDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.WidenLower(right.AsInt16()).AsByte();
    }

    internal readonly struct WordsToDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.WidenLower(right.AsUInt16()).AsByte();
    }

    internal readonly struct SignedWordsToQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.WidenLower(Vector128.WidenLower(right.AsInt16())).AsByte();
    }

    internal readonly struct WordsToQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.WidenLower(Vector128.WidenLower(right.AsUInt16())).AsByte();
    }

    internal readonly struct SignedDwordsToQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.WidenLower(right.AsInt32()).AsByte();
    }

    internal readonly struct DwordsToQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.WidenLower(right.AsUInt32()).AsByte();
    }
}
