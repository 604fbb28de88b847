using System.Collections.Frozen;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>What the translator knows of a vector instruction's form.</summary>
[Flags]
internal enum VectorTraits : byte
{
    /// <summary>It is left to the interpreter.</summary>
    None = 0,

    /// <summary>It runs as it is, on the host's vector registers of the same numbers.</summary>
    Copied = 1,

    /// <summary>A memory operand of 16 bytes or more must be aligned to its size, or the instruction faults.</summary>
    Aligned = 2,

    /// <summary>RAX is an operand that the encoding does not name.</summary>
    UsesAccumulator = 4,

    /// <summary>It is VEX-encoded: upper halves of vector registers are read or written.</summary>
    Wide = 8,
}

/// <summary>
/// The vector forms that run natively: all of SSE to SSE4.2, AVX, AVX2, FMA, F16C, AES, PCLMULQDQ and SHA that have XMM or
/// YMM registers, except those that reach MXCSR or MMX registers, gathers (whose faults leave a part done), and those
/// whose results differ between processors (the interpreter's estimates of reciprocals are the same on every host).
/// </summary>
internal static class VectorForms
{
    private static readonly FrozenSet<CpuidFeature> _features = new[]
    {
        CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2,
        CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C,
        CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.VAES, CpuidFeature.VPCLMULQDQ, CpuidFeature.GFNI, CpuidFeature.SHA,
    }.ToFrozenSet();

    private static readonly FrozenDictionary<Code, VectorTraits> _traits =
        Enum.GetValues<Code>().Select(code => (Code: code, Traits: Classify(code))).Where(form => form.Traits != VectorTraits.None)
            .ToFrozenDictionary(form => form.Code, form => form.Traits);

    public static VectorTraits Of(Code code) => _traits.GetValueOrDefault(code);

    /// <summary>Whether an instruction reaches only those elements of its operand that a mask names.</summary>
    public static bool IsMaskedMove(Mnemonic mnemonic) => mnemonic is Mnemonic.Vmaskmovps or Mnemonic.Vmaskmovpd or Mnemonic.Vpmaskmovd or Mnemonic.Vpmaskmovq;

    private static VectorTraits Classify(Code code)
    {
        EncodingKind encoding = code.Encoding();
        if (encoding is not (EncodingKind.Legacy or EncodingKind.VEX)
            || code.CpuidFeatures() is not { Length: > 0 } features || !features.All(_features.Contains))
            return VectorTraits.None;
        VectorTraits traits = VectorTraits.Copied | (encoding == EncodingKind.VEX ? VectorTraits.Wide : VectorTraits.None);
        Mnemonic mnemonic = code.Mnemonic();
        if (mnemonic is Mnemonic.Vzeroupper or Mnemonic.Vzeroall)
            return traits;
        if (IsEstimate(mnemonic) || !HasVectorsOnly(code.ToOpCode()))
            return VectorTraits.None;
        if (mnemonic is Mnemonic.Pcmpestri or Mnemonic.Pcmpestrm or Mnemonic.Pcmpestri64 or Mnemonic.Pcmpestrm64
            or Mnemonic.Vpcmpestri or Mnemonic.Vpcmpestrm or Mnemonic.Vpcmpestri64 or Mnemonic.Vpcmpestrm64)
            return traits | VectorTraits.UsesAccumulator;
        if (encoding == EncodingKind.VEX ? IsAlignedMove(mnemonic) : !MayBeUnaligned(mnemonic))
            traits |= VectorTraits.Aligned;
        return traits;
    }

    private static bool IsEstimate(Mnemonic mnemonic) => mnemonic is Mnemonic.Rcpps or Mnemonic.Rcpss or Mnemonic.Rsqrtps or Mnemonic.Rsqrtss
        or Mnemonic.Vrcpps or Mnemonic.Vrcpss or Mnemonic.Vrsqrtps or Mnemonic.Vrsqrtss;

    /// <summary>Legacy encodings whose operands of 16 bytes may lie anywhere.</summary>
    private static bool MayBeUnaligned(Mnemonic mnemonic) => mnemonic is Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu or Mnemonic.Lddqu
        or Mnemonic.Pcmpistri or Mnemonic.Pcmpistrm;

    /// <summary>VEX encodings whose operands may not.</summary>
    private static bool IsAlignedMove(Mnemonic mnemonic) => mnemonic is Mnemonic.Vmovaps or Mnemonic.Vmovapd or Mnemonic.Vmovdqa
        or Mnemonic.Vmovntps or Mnemonic.Vmovntpd or Mnemonic.Vmovntdq or Mnemonic.Vmovntdqa;

    /// <summary>XMM and YMM registers, and beside them only general registers, memory and constants.</summary>
    private static bool HasVectorsOnly(OpCodeInfo info)
    {
        bool vectors = false;
        for (int i = 0; i < info.OpCount; i++)
        {
            switch (info.GetOpKind(i))
            {
                case OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.xmm_vvvv
                    or OpCodeOperandKind.xmm_is4 or OpCodeOperandKind.ymm_reg or OpCodeOperandKind.ymm_rm or OpCodeOperandKind.ymm_or_mem
                    or OpCodeOperandKind.ymm_vvvv or OpCodeOperandKind.ymm_is4:
                    vectors = true;
                    break;
                case OpCodeOperandKind.mem or OpCodeOperandKind.imm8 or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm
                    or OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_rm or OpCodeOperandKind.r64_or_mem:
                    break;
                default:
                    return false;
            }
        }
        return vectors;
    }
}
