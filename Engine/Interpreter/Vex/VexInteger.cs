using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>The VEX forms of the integer, bitwise and shuffling operations of SSE to SSE4.2, by the same operations (AVX, AVX2).</summary>
internal static unsafe class VexInteger
{
    public static readonly Row[] Rows =
    [
        VexRows.Packed<PackedInteger.Add<byte>>(Mnemonic.Vpaddb),
        VexRows.Packed<PackedInteger.Add<ushort>>(Mnemonic.Vpaddw),
        VexRows.Packed<PackedInteger.Add<uint>>(Mnemonic.Vpaddd),
        VexRows.Packed<PackedInteger.Add<ulong>>(Mnemonic.Vpaddq),
        VexRows.Packed<PackedInteger.Subtract<byte>>(Mnemonic.Vpsubb),
        VexRows.Packed<PackedInteger.Subtract<ushort>>(Mnemonic.Vpsubw),
        VexRows.Packed<PackedInteger.Subtract<uint>>(Mnemonic.Vpsubd),
        VexRows.Packed<PackedInteger.Subtract<ulong>>(Mnemonic.Vpsubq),
        VexRows.Packed<PackedInteger.AddSaturating<sbyte>>(Mnemonic.Vpaddsb),
        VexRows.Packed<PackedInteger.AddSaturating<short>>(Mnemonic.Vpaddsw),
        VexRows.Packed<PackedInteger.AddSaturating<byte>>(Mnemonic.Vpaddusb),
        VexRows.Packed<PackedInteger.AddSaturating<ushort>>(Mnemonic.Vpaddusw),
        VexRows.Packed<PackedInteger.SubtractSaturating<sbyte>>(Mnemonic.Vpsubsb),
        VexRows.Packed<PackedInteger.SubtractSaturating<short>>(Mnemonic.Vpsubsw),
        VexRows.Packed<PackedInteger.SubtractSaturating<byte>>(Mnemonic.Vpsubusb),
        VexRows.Packed<PackedInteger.SubtractSaturating<ushort>>(Mnemonic.Vpsubusw),
        VexRows.Packed<PackedInteger.MultiplyLow>(Mnemonic.Vpmullw),
        VexRows.Packed<PackedInteger.MultiplyHigh>(Mnemonic.Vpmulhw),
        VexRows.Packed<PackedInteger.MultiplyHighUnsigned>(Mnemonic.Vpmulhuw),
        VexRows.Packed<PackedInteger.MultiplyEvenDwords>(Mnemonic.Vpmuludq),
        VexRows.Packed<PackedInteger.MultiplyAdd>(Mnemonic.Vpmaddwd),
        VexRows.Packed<PackedInteger.SumOfDifferences>(Mnemonic.Vpsadbw),
        VexRows.Packed<PackedInteger.Average<byte>>(Mnemonic.Vpavgb),
        VexRows.Packed<PackedInteger.Average<ushort>>(Mnemonic.Vpavgw),
        VexRows.Packed<PackedInteger.Minimum<byte>>(Mnemonic.Vpminub),
        VexRows.Packed<PackedInteger.Minimum<short>>(Mnemonic.Vpminsw),
        VexRows.Packed<PackedInteger.Maximum<byte>>(Mnemonic.Vpmaxub),
        VexRows.Packed<PackedInteger.Maximum<short>>(Mnemonic.Vpmaxsw),
        VexRows.Packed<PackedInteger.CompareEqual<byte>>(Mnemonic.Vpcmpeqb),
        VexRows.Packed<PackedInteger.CompareEqual<ushort>>(Mnemonic.Vpcmpeqw),
        VexRows.Packed<PackedInteger.CompareEqual<uint>>(Mnemonic.Vpcmpeqd),
        VexRows.Packed<PackedInteger.CompareGreater<sbyte>>(Mnemonic.Vpcmpgtb),
        VexRows.Packed<PackedInteger.CompareGreater<short>>(Mnemonic.Vpcmpgtw),
        VexRows.Packed<PackedInteger.CompareGreater<int>>(Mnemonic.Vpcmpgtd),
        VexRows.Packed<PackedInteger.PackSignedWords>(Mnemonic.Vpacksswb),
        VexRows.Packed<PackedInteger.PackUnsignedWords>(Mnemonic.Vpackuswb),
        VexRows.Packed<PackedInteger.PackSignedDwords>(Mnemonic.Vpackssdw),
        VexRows.Packed<PackedBits.And>(Mnemonic.Vpand),
        VexRows.Packed<PackedBits.AndNot>(Mnemonic.Vpandn),
        VexRows.Packed<PackedBits.Or>(Mnemonic.Vpor),
        VexRows.Packed<PackedBits.Xor>(Mnemonic.Vpxor),
        VexRows.Packed<PackedBits.And>(Mnemonic.Vandps),
        VexRows.Packed<PackedBits.And>(Mnemonic.Vandpd),
        VexRows.Packed<PackedBits.AndNot>(Mnemonic.Vandnps),
        VexRows.Packed<PackedBits.AndNot>(Mnemonic.Vandnpd),
        VexRows.Packed<PackedBits.Or>(Mnemonic.Vorps),
        VexRows.Packed<PackedBits.Or>(Mnemonic.Vorpd),
        VexRows.Packed<PackedBits.Xor>(Mnemonic.Vxorps),
        VexRows.Packed<PackedBits.Xor>(Mnemonic.Vxorpd),
        VexRows.Shift<PackedBits.ShiftLeft<ushort>>(Mnemonic.Vpsllw),
        VexRows.Shift<PackedBits.ShiftLeft<uint>>(Mnemonic.Vpslld),
        VexRows.Shift<PackedBits.ShiftLeft<ulong>>(Mnemonic.Vpsllq),
        VexRows.Shift<PackedBits.ShiftRight<ushort>>(Mnemonic.Vpsrlw),
        VexRows.Shift<PackedBits.ShiftRight<uint>>(Mnemonic.Vpsrld),
        VexRows.Shift<PackedBits.ShiftRight<ulong>>(Mnemonic.Vpsrlq),
        VexRows.Shift<PackedBits.ShiftArithmetic<short>>(Mnemonic.Vpsraw),
        VexRows.Shift<PackedBits.ShiftArithmetic<int>>(Mnemonic.Vpsrad),
        VexRows.Shift<PackedBits.ShiftBytesLeft>(Mnemonic.Vpslldq),
        VexRows.Shift<PackedBits.ShiftBytesRight>(Mnemonic.Vpsrldq),
        VexRows.Packed<Shuffles.UnpackLowBytes>(Mnemonic.Vpunpcklbw),
        VexRows.Packed<Shuffles.UnpackLowWords>(Mnemonic.Vpunpcklwd),
        VexRows.Packed<Shuffles.UnpackLowDwords>(Mnemonic.Vpunpckldq),
        VexRows.Packed<Shuffles.UnpackLowQwords>(Mnemonic.Vpunpcklqdq),
        VexRows.Packed<Shuffles.UnpackHighBytes>(Mnemonic.Vpunpckhbw),
        VexRows.Packed<Shuffles.UnpackHighWords>(Mnemonic.Vpunpckhwd),
        VexRows.Packed<Shuffles.UnpackHighDwords>(Mnemonic.Vpunpckhdq),
        VexRows.Packed<Shuffles.UnpackHighQwords>(Mnemonic.Vpunpckhqdq),
        VexRows.Packed<Shuffles.UnpackLowDwords>(Mnemonic.Vunpcklps),
        VexRows.Packed<Shuffles.UnpackHighDwords>(Mnemonic.Vunpckhps),
        VexRows.Packed<Shuffles.UnpackLowQwords>(Mnemonic.Vunpcklpd),
        VexRows.Packed<Shuffles.UnpackHighQwords>(Mnemonic.Vunpckhpd),
        VexRows.Controlled<Shuffles.ShuffleDwords>(Mnemonic.Vpshufd),
        VexRows.Controlled<Shuffles.ShuffleLowWords>(Mnemonic.Vpshuflw),
        VexRows.Controlled<Shuffles.ShuffleHighWords>(Mnemonic.Vpshufhw),
        VexRows.Controlled<Shuffles.ShuffleSingles>(Mnemonic.Vshufps),
        VexRows.Controlled<Shuffles.ShuffleDoubles>(Mnemonic.Vshufpd, bits: 2),
        VexRows.Packed<Horizontal.DuplicateEven>(Mnemonic.Vmovsldup),
        VexRows.Packed<Horizontal.DuplicateOdd>(Mnemonic.Vmovshdup),
        VexRows.Packed<Supplemental3.Absolute<sbyte>>(Mnemonic.Vpabsb),
        VexRows.Packed<Supplemental3.Absolute<short>>(Mnemonic.Vpabsw),
        VexRows.Packed<Supplemental3.Absolute<int>>(Mnemonic.Vpabsd),
        VexRows.Packed<Supplemental3.Sign<sbyte>>(Mnemonic.Vpsignb),
        VexRows.Packed<Supplemental3.Sign<short>>(Mnemonic.Vpsignw),
        VexRows.Packed<Supplemental3.Sign<int>>(Mnemonic.Vpsignd),
        VexRows.Packed<Supplemental3.AddPairsOfWords>(Mnemonic.Vphaddw),
        VexRows.Packed<Supplemental3.AddPairsOfDwords>(Mnemonic.Vphaddd),
        VexRows.Packed<Supplemental3.AddPairsSaturating>(Mnemonic.Vphaddsw),
        VexRows.Packed<Supplemental3.SubtractPairsOfWords>(Mnemonic.Vphsubw),
        VexRows.Packed<Supplemental3.SubtractPairsOfDwords>(Mnemonic.Vphsubd),
        VexRows.Packed<Supplemental3.SubtractPairsSaturating>(Mnemonic.Vphsubsw),
        VexRows.Packed<Supplemental3.MultiplyAddBytes>(Mnemonic.Vpmaddubsw),
        VexRows.Packed<Supplemental3.MultiplyRounded>(Mnemonic.Vpmulhrsw),
        VexRows.Packed<Supplemental3.ShuffleBytes>(Mnemonic.Vpshufb),
        VexRows.Controlled<Supplemental3.Align>(Mnemonic.Vpalignr),
        VexRows.Packed<Sse41Integer.Minimum<sbyte>>(Mnemonic.Vpminsb),
        VexRows.Packed<Sse41Integer.Maximum<sbyte>>(Mnemonic.Vpmaxsb),
        VexRows.Packed<Sse41Integer.Minimum<ushort>>(Mnemonic.Vpminuw),
        VexRows.Packed<Sse41Integer.Maximum<ushort>>(Mnemonic.Vpmaxuw),
        VexRows.Packed<Sse41Integer.Minimum<int>>(Mnemonic.Vpminsd),
        VexRows.Packed<Sse41Integer.Maximum<int>>(Mnemonic.Vpmaxsd),
        VexRows.Packed<Sse41Integer.Minimum<uint>>(Mnemonic.Vpminud),
        VexRows.Packed<Sse41Integer.Maximum<uint>>(Mnemonic.Vpmaxud),
        VexRows.Packed<Sse41Integer.MultiplyLow>(Mnemonic.Vpmulld),
        VexRows.Packed<Sse41Integer.MultiplyEven>(Mnemonic.Vpmuldq),
        VexRows.Packed<Sse41Integer.PackUnsigned>(Mnemonic.Vpackusdw),
        VexRows.Packed<Sse41Integer.CompareEqual>(Mnemonic.Vpcmpeqq),
        VexRows.Packed<Sse41Integer.CompareGreater>(Mnemonic.Vpcmpgtq),
        VexRows.Packed<Sse41Integer.MinimumPosition>(Mnemonic.Vphminposuw),
        VexRows.Controlled<Sse41Integer.SumsOfDifferences>(Mnemonic.Vmpsadbw, bits: 3),
        VexRows.Controlled<Sse41Moves.Blend<ushort>>(Mnemonic.Vpblendw),
        VexRows.Controlled<Sse41Moves.Blend<uint>>(Mnemonic.Vblendps, bits: 4),
        VexRows.Controlled<Sse41Moves.Blend<ulong>>(Mnemonic.Vblendpd, bits: 2),
        VexRows.Of<Widening<Sse41Integer.SignedBytesToWords, ulong, Vector128<byte>>>(Mnemonic.Vpmovsxbw),
        VexRows.Of<Widening<Sse41Integer.BytesToWords, ulong, Vector128<byte>>>(Mnemonic.Vpmovzxbw),
        VexRows.Of<Widening<Sse41Integer.SignedBytesToDwords, uint, ulong>>(Mnemonic.Vpmovsxbd),
        VexRows.Of<Widening<Sse41Integer.BytesToDwords, uint, ulong>>(Mnemonic.Vpmovzxbd),
        VexRows.Of<Widening<Sse41Integer.SignedBytesToQwords, ushort, uint>>(Mnemonic.Vpmovsxbq),
        VexRows.Of<Widening<Sse41Integer.BytesToQwords, ushort, uint>>(Mnemonic.Vpmovzxbq),
        VexRows.Of<Widening<Sse41Integer.SignedWordsToDwords, ulong, Vector128<byte>>>(Mnemonic.Vpmovsxwd),
        VexRows.Of<Widening<Sse41Integer.WordsToDwords, ulong, Vector128<byte>>>(Mnemonic.Vpmovzxwd),
        VexRows.Of<Widening<Sse41Integer.SignedWordsToQwords, uint, ulong>>(Mnemonic.Vpmovsxwq),
        VexRows.Of<Widening<Sse41Integer.WordsToQwords, uint, ulong>>(Mnemonic.Vpmovzxwq),
        VexRows.Of<Widening<Sse41Integer.SignedDwordsToQwords, ulong, Vector128<byte>>>(Mnemonic.Vpmovsxdq),
        VexRows.Of<Widening<Sse41Integer.DwordsToQwords, ulong, Vector128<byte>>>(Mnemonic.Vpmovzxdq),
        new(Mnemonic.Vmovddup, (in Instruction instruction, ref Op op) =>
            VexForm.Is256(instruction) ? VexForm.Pick<VexPacked<Horizontal.DuplicateLow>>(instruction, ref op) : VexForm.Pick<DuplicateQuad>(instruction, ref op)),
    ];

    /// <summary>Widening moves: the upper half of the result comes from the source behind what the lower half takes.</summary>
    private readonly struct Widening<TOperation, TPart, TBoth> : IVexForms
        where TOperation : struct, IPackedOperation
        where TPart : unmanaged
        where TBoth : unmanaged
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => TWidth.Is256 ? new(&Execute<TSource, TBoth, TWidth>) : new(&Execute<TSource, TPart, TWidth>);

        private static Op* Execute<TSource, TMemory, TWidth>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
            where TMemory : unmanaged
            where TWidth : struct, IVexWidth
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out TMemory memory))
                return VectorState.Leave(c, op);
            Vector256<byte> source = default;
            *(TMemory*)&source = memory;
            Vector128<byte> low = source.GetLower(), high = *(Vector128<byte>*)((byte*)&source + sizeof(TPart));
            return VexForm.Write(c, op, TOperation.Apply(low, low), TWidth.Is256 ? TOperation.Apply(high, high) : default);
        }
    }

    /// <summary>VMOVDDUP of 128 bits reads 64.</summary>
    private readonly struct DuplicateQuad : IVexForms
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out ulong value))
                return VectorState.Leave(c, op);
            return VexForm.Write(c, op, Vector128.Create(value).AsByte());
        }
    }
}
