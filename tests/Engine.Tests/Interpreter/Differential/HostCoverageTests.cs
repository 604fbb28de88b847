using System.Runtime.InteropServices;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Interpreter.SystemInstructions;
using Godwit.Engine.Machine;
using Godwit.Engine.Tests.Interpreter.Sse;
using Iced.Intel;
using Xunit;

namespace Godwit.Engine.Tests.Interpreter.Differential;

/// <summary>What the comparisons with the host's processor leave out.</summary>
public sealed unsafe class HostCoverageTests
{
    /// <summary>Cases after which a form that the generator can make has been made.</summary>
    private const int Cases = 150_000;

    /// <summary>Forms of other families that have tests of their own: images of state (VectorFaultTests, VectorProgramTests), and what does nothing.</summary>
    private static readonly HashSet<Code> _others =
    [
        Code.Fxsave_m512byte, Code.Fxsave64_m512byte, Code.Fxrstor_m512byte, Code.Fxrstor64_m512byte, Code.Wait,
        Code.Xsave_mem, Code.Xsave64_mem, Code.Xsavec_mem, Code.Xsavec64_mem, Code.Xsaveopt_mem, Code.Xsaveopt64_mem, Code.Xrstor_mem, Code.Xrstor64_mem,
        Code.Xgetbv, Code.Xsetbv,
        Code.Prefetch_m8, Code.Prefetchw_m8, Code.Prefetchreserved3_m8, Code.Prefetchreserved4_m8, Code.Prefetchreserved5_m8,
        Code.Prefetchreserved6_m8, Code.Prefetchreserved7_m8,
    ];

    /// <summary>Mnemonics of the system rows alone: privileged, or about the host itself; SystemInstructionTests and its neighbours have them.</summary>
    private static readonly HashSet<Mnemonic> _system =
        [.. SystemRows.Rows.Select(row => row.Mnemonic).Except(IntegerDifferentialTests.Rows.Select(row => row.Mnemonic))];

    [Fact]
    public void EveryFormOfEveryRowIsComparedWithTheHostOrListedHere()
    {
        using TestMachine machine = new(64, CpuLevel.V3);
        FeatureGate features = new(machine.Vcpu.Services);
        HashSet<Code> compared = [.. IntegerForms(features), .. VectorForms()];
        HashSet<Mnemonic> rows = [.. InstructionTable.All.Select(row => row.Mnemonic)];
        string[] missing =
        [
            .. Enum.GetValues<Code>()
                .Where(code => code.ToOpCode() is { IsInstruction: true } info && (info.Mode64 || info.Mode32) && rows.Contains(code.Mnemonic()) && features.Allows(code) && !compared.Contains(code)
                    && !_others.Contains(code) && !_system.Contains(code.Mnemonic()) && !LeavesTheProgram(code))
                .Select(code => code.ToString()).Order(StringComparer.Ordinal),
        ];
        Assert.True(missing.Length == 0, string.Join(" ", missing));
    }

    /// <summary>
    /// Forms that a user's program in flat segments cannot run and come back from: far branches, segment, control and
    /// debug registers, and branches that cut RIP to 16 bits or count in CX.
    /// </summary>
    private static bool LeavesTheProgram(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        if (code.IsJmpFar() || code.IsCallFar() || code.IsJmpFarIndirect() || code.IsCallFarIndirect())
            return true;
        if (code.FlowControl() != FlowControl.Next && (info.OperandSize == 16 || info.AddressSize == 16))
            return true;
        return Enumerable.Range(0, info.OpCount).Any(i => info.GetOpKind(i) is OpCodeOperandKind.seg_reg or OpCodeOperandKind.cr_reg or OpCodeOperandKind.dr_reg
            or OpCodeOperandKind.tr_reg or OpCodeOperandKind.es or OpCodeOperandKind.cs or OpCodeOperandKind.ss or OpCodeOperandKind.ds
            or OpCodeOperandKind.fs or OpCodeOperandKind.gs);
    }

    /// <summary>The forms that the integer comparison's generator makes.</summary>
    private static HashSet<Code> IntegerForms(FeatureGate features)
    {
        NativeCase* unit = (NativeCase*)NativeMemory.AllocZeroed((nuint)sizeof(NativeCase));
        try
        {
            CaseGenerator generator = new(1, IntegerDifferentialTests.Rows, features.Allows);
            HashSet<Code> made = [];
            for (int i = 0; i < Cases; i++)
                made.Add(generator.Next(unit).Code);
            return made;
        }
        finally
        {
            NativeMemory.Free(unit);
        }
    }

    private static IEnumerable<Code> VectorForms() =>
    [
        .. UnitForms.Of(CpuidFeature.MMX), .. UnitForms.Of(CpuidFeature.SSE), .. UnitForms.Of(CpuidFeature.SSE2), .. UnitForms.Of(CpuidFeature.SSE3, CpuidFeature.FPU),
        .. UnitForms.Of(CpuidFeature.SSSE3), .. UnitForms.Of(CpuidFeature.SSE4_1), .. UnitForms.Of(CpuidFeature.SSE4_2), .. UnitForms.Of(CpuidFeature.AES),
        .. UnitForms.Of(CpuidFeature.PCLMULQDQ), .. UnitForms.Of(CpuidFeature.SHA),
        .. UnitForms.Of(CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.CMOV),
        .. UnitForms.OfVex(CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C, CpuidFeature.AES, CpuidFeature.PCLMULQDQ),
    ];
}
