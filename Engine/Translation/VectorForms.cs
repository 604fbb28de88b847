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
}

/// <summary>
/// The SSE forms that run natively: all of SSE to SSE4.2, AES, PCLMULQDQ and SHA that have XMM registers, except those
/// that reach MXCSR or MMX registers or whose results differ between processors (the interpreter's estimates of
/// reciprocals are the same on every host).
/// </summary>
internal static class VectorForms
{
    private static readonly FrozenSet<CpuidFeature> _features = new[]
    {
        CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2,
        CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA,
    }.ToFrozenSet();

    private static readonly FrozenDictionary<Code, VectorTraits> _traits =
        Enum.GetValues<Code>().Select(code => (Code: code, Traits: Classify(code))).Where(form => form.Traits != VectorTraits.None)
            .ToFrozenDictionary(form => form.Code, form => form.Traits);

    public static VectorTraits Of(Code code) => _traits.GetValueOrDefault(code);

    private static VectorTraits Classify(Code code)
    {
        if (code.Encoding() != EncodingKind.Legacy || code.CpuidFeatures() is not { Length: > 0 } features || !features.All(_features.Contains))
            return VectorTraits.None;
        Mnemonic mnemonic = code.Mnemonic();
        if (mnemonic is Mnemonic.Rcpps or Mnemonic.Rcpss or Mnemonic.Rsqrtps or Mnemonic.Rsqrtss || !HasVectorsOnly(code.ToOpCode()))
            return VectorTraits.None;
        VectorTraits traits = VectorTraits.Copied;
        if (mnemonic is Mnemonic.Pcmpestri or Mnemonic.Pcmpestrm or Mnemonic.Pcmpestri64 or Mnemonic.Pcmpestrm64)
            return traits | VectorTraits.UsesAccumulator;
        if (mnemonic is not (Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu or Mnemonic.Lddqu or Mnemonic.Pcmpistri or Mnemonic.Pcmpistrm))
            traits |= VectorTraits.Aligned;
        return traits;
    }

    /// <summary>XMM registers, and beside them only general registers, memory and constants.</summary>
    private static bool HasVectorsOnly(OpCodeInfo info)
    {
        bool vectors = false;
        for (int i = 0; i < info.OpCount; i++)
        {
            switch (info.GetOpKind(i))
            {
                case OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_or_mem:
                    vectors = true;
                    break;
                case OpCodeOperandKind.mem or OpCodeOperandKind.imm8 or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_or_mem
                    or OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_or_mem:
                    break;
                default:
                    return false;
            }
        }
        return vectors;
    }
}
