using System.Runtime.Intrinsics.X86;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Every VEX form of vector instructions, and AES, PCLMULQDQ and SHA, against the host's processor, interpreted and translated. A host without AVX2 tests nothing here.</summary>
public sealed class AvxDifferentialTests(ITestOutputHelper output)
{
    [Fact]
    public void EveryAvxFormAgreesWithTheHost() => Compare(UnitForms.OfVex(CpuidFeature.AVX));

    [Fact]
    public void EveryAvx2FormAgreesWithTheHost() => Compare(UnitForms.OfVex(CpuidFeature.AVX2));

    [Fact]
    public void EveryFusedMultiplyAddFormAgreesWithTheHost() => Compare(UnitForms.OfVex(CpuidFeature.FMA));

    [Fact]
    public void EveryHalfPrecisionFormAgreesWithTheHost() => Compare(UnitForms.OfVex(CpuidFeature.F16C));

    [Fact]
    public void EveryCipherAndHashFormAgreesWithTheHost() => Compare(
        [.. UnitForms.Of(CpuidFeature.AES), .. UnitForms.Of(CpuidFeature.PCLMULQDQ), .. UnitForms.Of(CpuidFeature.SHA),
            .. UnitForms.OfVex(CpuidFeature.AVX, CpuidFeature.AES, CpuidFeature.PCLMULQDQ).Except(UnitForms.OfVex(CpuidFeature.AVX))]);

    [Fact]
    public void EveryTranslatedVexFormAgreesWithTheHost()
    {
        using var translated = new TranslatedUnit();
        // Gathers are left to the interpreter, and the unit's first run would follow any index.
        IEnumerable<Code> forms = UnitForms.OfVex(CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C, CpuidFeature.AES, CpuidFeature.PCLMULQDQ)
            .Where(code => !code.ToString().Contains("gather", StringComparison.Ordinal));
        if (!Avx2.IsSupported)
            return;
        DifferentialRun.Compare(forms, translated, output);
        // Estimates differ between processors; the others reach MXCSR, or store to where no operand points.
        Assert.All(translated.Interpreted, code => Assert.Contains(code.Mnemonic(), new[]
        {
            Mnemonic.Vrcpps, Mnemonic.Vrcpss, Mnemonic.Vrsqrtps, Mnemonic.Vrsqrtss, Mnemonic.Vldmxcsr, Mnemonic.Vstmxcsr, Mnemonic.Vmaskmovdqu,
        }));
    }

    private void Compare(IEnumerable<Code> forms)
    {
        if (Avx2.IsSupported)
            DifferentialRun.Compare(forms, output);
    }
}
