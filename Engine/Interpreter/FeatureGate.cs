using System.Collections.Frozen;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Which instructions a machine's CPU model has: those whose CPUID bits it shows. All others are #UD. VMX and SVM are not
/// asked about: VMCALL and VMMCALL reach the machine on every model, and the others have no rows.
/// </summary>
internal sealed class FeatureGate
{
    private enum Output
    {
        Eax,
        Ebx,
        Ecx,
        Edx,
    }

    /// <summary>CPUID leaf, register and bit of each feature; of leaf 0xD the second subleaf (Intel SDM 2A, CPUID; AMD APM 3, appendix E). Features not listed are in every 64-bit processor.</summary>
    private static readonly FrozenDictionary<CpuidFeature, (uint Leaf, Output Register, int Bit)> _bits = new Dictionary<CpuidFeature, (uint, Output, int)>
    {
        [CpuidFeature.SSE3] = (1, Output.Ecx, 0),
        [CpuidFeature.PCLMULQDQ] = (1, Output.Ecx, 1),
        [CpuidFeature.MONITOR] = (1, Output.Ecx, 3),
        [CpuidFeature.SMX] = (1, Output.Ecx, 6),
        [CpuidFeature.SSSE3] = (1, Output.Ecx, 9),
        [CpuidFeature.FMA] = (1, Output.Ecx, 12),
        [CpuidFeature.CMPXCHG16B] = (1, Output.Ecx, 13),
        [CpuidFeature.SSE4_1] = (1, Output.Ecx, 19),
        [CpuidFeature.SSE4_2] = (1, Output.Ecx, 20),
        [CpuidFeature.MOVBE] = (1, Output.Ecx, 22),
        [CpuidFeature.POPCNT] = (1, Output.Ecx, 23),
        [CpuidFeature.AES] = (1, Output.Ecx, 25),
        [CpuidFeature.XSAVE] = (1, Output.Ecx, 26),
        [CpuidFeature.AVX] = (1, Output.Ecx, 28),
        [CpuidFeature.F16C] = (1, Output.Ecx, 29),
        [CpuidFeature.RDRAND] = (1, Output.Ecx, 30),
        [CpuidFeature.FSGSBASE] = (7, Output.Ebx, 0),
        [CpuidFeature.BMI1] = (7, Output.Ebx, 3),
        [CpuidFeature.HLE] = (7, Output.Ebx, 4),
        [CpuidFeature.AVX2] = (7, Output.Ebx, 5),
        [CpuidFeature.BMI2] = (7, Output.Ebx, 8),
        [CpuidFeature.INVPCID] = (7, Output.Ebx, 10),
        [CpuidFeature.RTM] = (7, Output.Ebx, 11),
        [CpuidFeature.AVX512F] = (7, Output.Ebx, 16),
        [CpuidFeature.RDSEED] = (7, Output.Ebx, 18),
        [CpuidFeature.ADX] = (7, Output.Ebx, 19),
        [CpuidFeature.SMAP] = (7, Output.Ebx, 20),
        [CpuidFeature.CLFLUSHOPT] = (7, Output.Ebx, 23),
        [CpuidFeature.CLWB] = (7, Output.Ebx, 24),
        [CpuidFeature.SHA] = (7, Output.Ebx, 29),
        [CpuidFeature.PKU] = (7, Output.Ecx, 3),
        [CpuidFeature.CET_SS] = (7, Output.Ecx, 7),
        [CpuidFeature.WAITPKG] = (7, Output.Ecx, 5),
        [CpuidFeature.GFNI] = (7, Output.Ecx, 8),
        [CpuidFeature.VAES] = (7, Output.Ecx, 9),
        [CpuidFeature.VPCLMULQDQ] = (7, Output.Ecx, 10),
        [CpuidFeature.RDPID] = (7, Output.Ecx, 22),
        [CpuidFeature.CLDEMOTE] = (7, Output.Ecx, 25),
        [CpuidFeature.MOVDIRI] = (7, Output.Ecx, 27),
        [CpuidFeature.MOVDIR64B] = (7, Output.Ecx, 28),
        [CpuidFeature.ENQCMD] = (7, Output.Ecx, 29),
        [CpuidFeature.SERIALIZE] = (7, Output.Edx, 14),
        [CpuidFeature.XSAVEOPT] = (CpuidModel.StateLeaf, Output.Eax, 0),
        [CpuidFeature.XSAVEC] = (CpuidModel.StateLeaf, Output.Eax, 1),
        [CpuidFeature.XSAVES] = (CpuidModel.StateLeaf, Output.Eax, 3),
        [CpuidFeature.LZCNT] = (0x8000_0001, Output.Ecx, 5),
        [CpuidFeature.SSE4A] = (0x8000_0001, Output.Ecx, 6),
        [CpuidFeature.XOP] = (0x8000_0001, Output.Ecx, 11),
        [CpuidFeature.SKINIT] = (0x8000_0001, Output.Ecx, 12),
        [CpuidFeature.LWP] = (0x8000_0001, Output.Ecx, 15),
        [CpuidFeature.FMA4] = (0x8000_0001, Output.Ecx, 16),
        [CpuidFeature.TBM] = (0x8000_0001, Output.Ecx, 21),
        [CpuidFeature.MONITORX] = (0x8000_0001, Output.Ecx, 29),
        [CpuidFeature.RDTSCP] = (0x8000_0001, Output.Edx, 27),
        [CpuidFeature.D3NOWEXT] = (0x8000_0001, Output.Edx, 30),
        [CpuidFeature.D3NOW] = (0x8000_0001, Output.Edx, 31),
        [CpuidFeature.CLZERO] = (0x8000_0008, Output.Ebx, 0),
        [CpuidFeature.RDPRU] = (0x8000_0008, Output.Ebx, 4),
        [CpuidFeature.WBNOINVD] = (0x8000_0008, Output.Ebx, 9),
        [CpuidFeature.INVLPGB] = (0x8000_0008, Output.Ebx, 3),
    }.ToFrozenDictionary();

    private const byte Denied = 1, Allowed = 2;

    private readonly bool[] _denied = new bool[Enum.GetValues<CpuidFeature>().Length];

    /// <summary>What has been found for each form, 0 where nobody has asked: the question comes with every instruction.</summary>
    private readonly byte[] _codes = new byte[Enum.GetValues<Code>().Length];

    public FeatureGate(IVcpuServices services)
        : this(services.Cpuid)
    {
    }

    /// <param name="cpuid">What CPUID answers to a leaf and a subleaf.</param>
    public FeatureGate(Func<uint, uint, CpuidResult> cpuid)
    {
        foreach ((CpuidFeature feature, (uint leaf, Output register, int bit)) in _bits)
        {
            CpuidResult result = cpuid(leaf & 0x8000_0000, 0).Eax >= leaf ? cpuid(leaf, leaf == CpuidModel.StateLeaf ? 1u : 0) : default;
            uint value = register switch
            {
                Output.Eax => result.Eax,
                Output.Ebx => result.Ebx,
                Output.Ecx => result.Ecx,
                _ => result.Edx,
            };
            _denied[(int)feature] = (value >> bit & 1) == 0;
        }
        HasFlagMoves64 = (cpuid(0x8000_0001, 0).Ecx & 1) != 0;
    }

    /// <summary>LAHF and SAHF in 64-bit mode (CPUID 0x80000001 ECX bit 0).</summary>
    public bool HasFlagMoves64 { get; }

    /// <summary>Whether the machine's model has the instruction. Encodings that older processors take for another instruction become that one.</summary>
    public bool Allows(ref Instruction instruction) => Allows(instruction.Code) || TakeForOlder(ref instruction);

    /// <summary>Whether the machine's model has a form of an instruction.</summary>
    public bool Allows(Code code)
    {
        ref byte known = ref _codes[(int)code];
        if (known == 0)
            known = IsAllowed(code) ? Allowed : Denied;
        return known == Allowed;
    }

    private bool IsAllowed(Code code)
    {
        // The newer encodings share mnemonics with the older ones; no level has them.
        if (code.Encoding() is not (EncodingKind.Legacy or EncodingKind.VEX))
            return false;
        foreach (CpuidFeature feature in code.CpuidFeatures())
            if (_denied[(int)feature])
                return false;
        return true;
    }

    private static bool TakeForOlder(ref Instruction instruction)
    {
        // Later features took encodings that were hints without effect: NOPs with an operand (SDM 2B, NOP; 0F 0D, 0F 18 to 0F 1F).
        OpCodeInfo info = instruction.OpCode;
        if (info.Encoding == EncodingKind.Legacy && info.Table == OpCodeTableKind.T0F && info.OpCode is >= 0x18 and <= 0x1f)
        {
            instruction = new Instruction { Code = Code.Nopd, Length = instruction.Length };
            return true;
        }
        // The F3 prefix of TZCNT and LZCNT means nothing to processors without them (SDM 2, TZCNT).
        Code older = instruction.Code switch
        {
            Code.Tzcnt_r16_rm16 => Code.Bsf_r16_rm16,
            Code.Tzcnt_r32_rm32 => Code.Bsf_r32_rm32,
            Code.Tzcnt_r64_rm64 => Code.Bsf_r64_rm64,
            Code.Lzcnt_r16_rm16 => Code.Bsr_r16_rm16,
            Code.Lzcnt_r32_rm32 => Code.Bsr_r32_rm32,
            Code.Lzcnt_r64_rm64 => Code.Bsr_r64_rm64,
            _ => Code.INVALID,
        };
        if (older == Code.INVALID)
            return false;
        instruction.Code = older;
        return true;
    }
}
