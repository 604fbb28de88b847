using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>Floating-point arithmetic, comparison and rounding (AVX), by the functions of the SSE forms.</summary>
internal static unsafe class VexFloat
{
    public static readonly Row[] Rows =
    [
        .. VexRows.Arithmetic<FloatArithmetic.Add>(Mnemonic.Vaddps, Mnemonic.Vaddpd, Mnemonic.Vaddss, Mnemonic.Vaddsd),
        .. VexRows.Arithmetic<FloatArithmetic.Subtract>(Mnemonic.Vsubps, Mnemonic.Vsubpd, Mnemonic.Vsubss, Mnemonic.Vsubsd),
        .. VexRows.Arithmetic<FloatArithmetic.Multiply>(Mnemonic.Vmulps, Mnemonic.Vmulpd, Mnemonic.Vmulss, Mnemonic.Vmulsd),
        .. VexRows.Arithmetic<FloatArithmetic.Divide>(Mnemonic.Vdivps, Mnemonic.Vdivpd, Mnemonic.Vdivss, Mnemonic.Vdivsd),
        .. VexRows.Arithmetic<FloatArithmetic.SquareRoot>(Mnemonic.Vsqrtps, Mnemonic.Vsqrtpd, Mnemonic.Vsqrtss, Mnemonic.Vsqrtsd),
        VexRows.Lanes<FloatCompare.Minimum<float>, float>(Mnemonic.Vminps), VexRows.Lanes<FloatCompare.Minimum<double>, double>(Mnemonic.Vminpd),
        VexRows.Scalar<FloatCompare.Minimum<float>, float>(Mnemonic.Vminss), VexRows.Scalar<FloatCompare.Minimum<double>, double>(Mnemonic.Vminsd),
        VexRows.Lanes<FloatCompare.Maximum<float>, float>(Mnemonic.Vmaxps), VexRows.Lanes<FloatCompare.Maximum<double>, double>(Mnemonic.Vmaxpd),
        VexRows.Scalar<FloatCompare.Maximum<float>, float>(Mnemonic.Vmaxss), VexRows.Scalar<FloatCompare.Maximum<double>, double>(Mnemonic.Vmaxsd),
        VexRows.Lanes<Mask<float>, float>(Mnemonic.Vcmpps), VexRows.Lanes<Mask<double>, double>(Mnemonic.Vcmppd),
        VexRows.Scalar<Mask<float>, float>(Mnemonic.Vcmpss), VexRows.Scalar<Mask<double>, double>(Mnemonic.Vcmpsd),
        VexRows.Lanes<Sse41Round.ToInteger<float>, float>(Mnemonic.Vroundps), VexRows.Lanes<Sse41Round.ToInteger<double>, double>(Mnemonic.Vroundpd),
        VexRows.Scalar<Sse41Round.ToInteger<float>, float>(Mnemonic.Vroundss), VexRows.Scalar<Sse41Round.ToInteger<double>, double>(Mnemonic.Vroundsd),
        VexRows.Lanes<Reciprocals.Reciprocal, float>(Mnemonic.Vrcpps), VexRows.Scalar<Reciprocals.Reciprocal, float>(Mnemonic.Vrcpss),
        VexRows.Lanes<Reciprocals.ReciprocalRoot, float>(Mnemonic.Vrsqrtps), VexRows.Scalar<Reciprocals.ReciprocalRoot, float>(Mnemonic.Vrsqrtss),
        VexRows.Of<VexVectors<Horizontal.PairwiseSingle<FloatArithmetic.Add>>>(Mnemonic.Vhaddps),
        VexRows.Of<VexVectors<Horizontal.PairwiseDouble<FloatArithmetic.Add>>>(Mnemonic.Vhaddpd),
        VexRows.Of<VexVectors<Horizontal.PairwiseSingle<FloatArithmetic.Subtract>>>(Mnemonic.Vhsubps),
        VexRows.Of<VexVectors<Horizontal.PairwiseDouble<FloatArithmetic.Subtract>>>(Mnemonic.Vhsubpd),
        VexRows.Of<VexVectors<Horizontal.Alternating<float>>>(Mnemonic.Vaddsubps), VexRows.Of<VexVectors<Horizontal.Alternating<double>>>(Mnemonic.Vaddsubpd),
        VexRows.Of<VexVectors<Horizontal.DotSingle>>(Mnemonic.Vdpps), VexRows.Of<VexVectors<Horizontal.DotDouble>>(Mnemonic.Vdppd),
        Flags<float>(Mnemonic.Vcomiss, quietSignals: true), Flags<double>(Mnemonic.Vcomisd, quietSignals: true),
        Flags<float>(Mnemonic.Vucomiss, quietSignals: false), Flags<double>(Mnemonic.Vucomisd, quietSignals: false),
    ];

    private static Row Flags<T>(Mnemonic mnemonic, bool quietSignals)
        where T : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Handler handler = VexForm.Pick<Comparison<T>>(instruction, ref op);
        op.Extra = quietSignals ? 1u : 0;
        return handler;
    });

    private readonly struct Comparison<T> : IVexForms
        where T : unmanaged
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource =>
            VectorState.AvxReady(c) && TSource.Read(c, op, out T right) ? FloatCompare.SetFlags(c, op, right) : VectorState.Leave(c, op);
    }

    /// <summary>All ones where the predicate (bits 0-4 of the immediate; Intel SDM 2A, table 3-1) holds.</summary>
    private readonly struct Mask<T> : ILaneFunction<T>
        where T : unmanaged
    {
        private const int Signals = 1 << 4;

        // By the low four bits: relations that hold (1 less, 2 equal, 4 greater, 8 unordered), and whether quiet NaNs signal.
        // Bit 4 of the predicate inverts the latter.
        private static ReadOnlySpan<byte> Predicates =>
        [
            2, 1 | Signals, 3 | Signals, 8, 13, 14 | Signals, 12 | Signals, 7,
            10, 9 | Signals, 11 | Signals, 0, 5, 6 | Signals, 4 | Signals, 15,
        ];

        public static T Apply(T left, T right, uint mxcsr, uint control, ref int flags)
        {
            int predicate = Predicates[(int)(control & 15)];
            Relation relation = FloatCompare.Compare(left, right, mxcsr, ((predicate ^ (int)control) & Signals) != 0, ref flags);
            return (predicate >> (int)relation & 1) != 0 ? Vector128<T>.AllBitsSet.ToScalar() : default;
        }
    }
}
