using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Interpreter.Sse;
using Godwit.Engine.Machine;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter;

public sealed class InstructionTableTests
{
    /// <summary>The features of x86-64-v1 and of every AMD64 processor before it.</summary>
    private static readonly HashSet<CpuidFeature> _base =
    [
        CpuidFeature.INTEL8086, CpuidFeature.INTEL8086_ONLY, CpuidFeature.INTEL186, CpuidFeature.INTEL286, CpuidFeature.INTEL386, CpuidFeature.INTEL486,
        CpuidFeature.CMOV, CpuidFeature.CPUID, CpuidFeature.CX8, CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.FXSR,
        CpuidFeature.MMX, CpuidFeature.MSR, CpuidFeature.MULTIBYTENOP, CpuidFeature.PAUSE, CpuidFeature.PREFETCHW, CpuidFeature.RDPMC,
        CpuidFeature.SEP, CpuidFeature.SSE, CpuidFeature.SSE2, CpuidFeature.SYSCALL, CpuidFeature.TSC, CpuidFeature.X64, CpuidFeature.CLFSH,
    ];

    /// <summary>
    /// Undefined opcodes by design; what AMD processors do not have in 64-bit mode; and names for WAIT followed by
    /// another instruction, which are decoded as two.
    /// </summary>
    private static readonly HashSet<Mnemonic> _absent =
    [
        Mnemonic.INVALID, Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Ud2, Mnemonic.Sysexitq, Mnemonic.Fstenv, Mnemonic.Fstcw, Mnemonic.Feni,
        Mnemonic.Fdisi, Mnemonic.Fclex, Mnemonic.Finit, Mnemonic.Fsetpm, Mnemonic.Fsave, Mnemonic.Fstsw,
    ];

    /// <summary>What x86-64-v2 adds, and what comes with it here.</summary>
    private static readonly HashSet<CpuidFeature> _second =
    [
        .. _base, CpuidFeature.CMPXCHG16B, CpuidFeature.POPCNT, CpuidFeature.SSE3, CpuidFeature.SSSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2,
        CpuidFeature.XSAVE, CpuidFeature.XSAVEC, CpuidFeature.XSAVEOPT,
    ];

    /// <summary>What x86-64-v3 adds, and what comes with it here.</summary>
    private static readonly HashSet<CpuidFeature> _third =
    [
        .. _second, CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.F16C, CpuidFeature.FMA, CpuidFeature.LZCNT,
        CpuidFeature.MOVBE, CpuidFeature.AES, CpuidFeature.PCLMULQDQ, CpuidFeature.SHA, CpuidFeature.ADX, CpuidFeature.RDSEED,
    ];

    /// <summary>What every level shows beside its own; calls to the machine, whatever CPUID says; hints without effect.</summary>
    private static readonly HashSet<CpuidFeature> _everywhere =
    [
        CpuidFeature.FSGSBASE, CpuidFeature.SMAP, CpuidFeature.INVPCID, CpuidFeature.RDRAND, CpuidFeature.RDTSCP, CpuidFeature.VMX, CpuidFeature.SVM,
        CpuidFeature.CET_IBT, CpuidFeature.PREFETCHWT1, CpuidFeature.PREFETCHITI,
    ];

    private static HashSet<CpuidFeature> Of(CpuLevel level) => level switch
    {
        CpuLevel.V1 => _base,
        CpuLevel.V2 => _second,
        _ => _third,
    };

    [Theory]
    [InlineData(CpuLevel.V1)]
    [InlineData(CpuLevel.V2)]
    [InlineData(CpuLevel.V3)]
    public void EveryInstructionOfTheLevelHasARow(CpuLevel level)
    {
        using TestMachine machine = new(64, level);
        FeatureGate features = new(machine.Vcpu.Services);
        HashSet<Mnemonic> rows = [.. InstructionTable.All.Select(row => row.Mnemonic)];
        IEnumerable<string> missing = Enum.GetValues<Code>()
            .Where(code => code.ToOpCode() is { IsInstruction: true } info && (info.Mode64 || info.Mode32) && features.Allows(code) && code.CpuidFeatures().All(feature => Of(level).Contains(feature)))
            .Where(code => !rows.Contains(code.Mnemonic()) && !_absent.Contains(code.Mnemonic()))
            .GroupBy(code => code.Mnemonic())
            .Select(group => $"{group.Key} ({string.Join(' ', group.First().CpuidFeatures())})");
        string list = string.Join(", ", missing);
        Assert.True(list.Length == 0, list);
    }

    [Theory]
    [InlineData(CpuLevel.V1)]
    [InlineData(CpuLevel.V2)]
    [InlineData(CpuLevel.V3)]
    public void NothingOutsideOfTheLevelHasAHandler(CpuLevel level)
    {
        using TestMachine machine = new(64, level);
        FeatureGate features = new(machine.Vcpu.Services);
        HashSet<Mnemonic> rows = [.. InstructionTable.All.Select(row => row.Mnemonic)];
        string list = string.Join(", ", Enum.GetValues<Code>()
            .Where(code => code.ToOpCode() is { IsInstruction: true, DecoderOption: DecoderOptions.None } && rows.Contains(code.Mnemonic()) && features.Allows(code))
            .Where(code => !code.CpuidFeatures().All(feature => Of(level).Contains(feature) || _everywhere.Contains(feature))));
        Assert.True(list.Length == 0, list);
    }

    [Fact]
    public void RowsThatAreMadeWhenNeededAreAllOfVexEncodedInstructions()
    {
        HashSet<Mnemonic> apart = [.. VexFamilies.All.Select(row => row.Mnemonic)];
        HashSet<Mnemonic> encoded = [.. Enum.GetValues<Code>().Where(code => code.Encoding() == EncodingKind.VEX).Select(code => code.Mnemonic())];
        Assert.Empty(apart.Except(encoded));
        // The other table hides this one where both have a mnemonic.
        Assert.Empty(apart.Intersect(InstructionTable.All.Except(VexFamilies.All).Select(row => row.Mnemonic)));
        Assert.Equal(InstructionTable.All.Select(row => row.Mnemonic).Distinct().Count(), InstructionTable.Complete());
    }
}
