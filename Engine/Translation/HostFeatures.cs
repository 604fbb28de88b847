using System.Runtime.Intrinsics.X86;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Iced.Intel;

namespace Godwit.Engine.Translation;

/// <summary>Which instructions the host's processor has, with its operating system's consent.</summary>
internal static class HostFeatures
{
    private static readonly FeatureGate _gate = new(Query);

    // Asked of the runtime here alone: what asks it cannot be precompiled.

    /// <summary>Whether VEX instructions and the upper halves of vector registers may be used.</summary>
    public static bool HasAvx { get; } = Avx.IsSupported;

    /// <summary>Whether instructions of BMI2 may be used.</summary>
    public static bool HasBmi2 { get; } = Bmi2.X64.IsSupported;

    public static bool Allows(Code code) => _gate.Allows(code) && (code.Encoding() != EncodingKind.VEX || HasAvx);

    private static CpuidResult Query(uint leaf, uint subleaf)
    {
        (int eax, int ebx, int ecx, int edx) = X86Base.CpuId((int)leaf, (int)subleaf);
        return new CpuidResult((uint)eax, (uint)ebx, (uint)ecx, (uint)edx);
    }
}
