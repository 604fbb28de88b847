using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Every SSE form as translated code against the host's processor: the same states as <see cref="DifferentialTests"/>.</summary>
public sealed class TranslatedDifferentialTests(ITestOutputHelper output)
{
    [Fact]
    public void EveryTranslatedSseFormAgreesWithTheHost() => Compare(CpuidFeature.SSE);

    [Fact]
    public void EveryTranslatedSse2FormAgreesWithTheHost() => Compare(CpuidFeature.SSE2);

    [Fact]
    public void EveryTranslatedSse3FormAgreesWithTheHost() => Compare(CpuidFeature.SSE3);

    [Fact]
    public void EveryTranslatedSsse3FormAgreesWithTheHost() => Compare(CpuidFeature.SSSE3);

    [Fact]
    public void EveryTranslatedSse41FormAgreesWithTheHost() => Compare(CpuidFeature.SSE4_1);

    [Fact]
    public void EveryTranslatedSse42FormAgreesWithTheHost() => Compare(CpuidFeature.SSE4_2);

    private void Compare(CpuidFeature feature)
    {
        using var translated = new TranslatedUnit();
        DifferentialRun.Compare(UnitForms.Of(feature), translated, output);
        string[] interpreted = [.. translated.Interpreted.Where(HasVectors).Select(code => code.ToString()).Order()];
        output.WriteLine($"interpreted: {string.Join(' ', interpreted)}");
        // Estimates differ between processors; MASKMOVDQU stores to where no operand points.
        Assert.All(interpreted, form => Assert.Contains(form.Split('_')[0], new[] { "Rcpps", "Rcpss", "Rsqrtps", "Rsqrtss", "Maskmovdqu" }));
    }

    /// <summary>XMM registers and no MMX registers.</summary>
    private static bool HasVectors(Code code)
    {
        OpCodeInfo info = code.ToOpCode();
        OpCodeOperandKind[] kinds = [.. Enumerable.Range(0, info.OpCount).Select(info.GetOpKind)];
        return kinds.Any(kind => kind is OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm or OpCodeOperandKind.xmm_or_mem)
            && !kinds.Any(kind => kind is OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm or OpCodeOperandKind.mm_or_mem);
    }
}
