using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>
/// Every MMX and SSE form against the host's processor. GODWIT_DIFFERENTIAL_COUNT sets how many random states each
/// form meets (default 60), GODWIT_DIFFERENTIAL_SEED repeats a run.
/// </summary>
public sealed class DifferentialTests(ITestOutputHelper output)
{
    [Fact]
    public void EveryMmxFormAgreesWithTheHost() => DifferentialRun.Compare(UnitForms.Of(CpuidFeature.MMX), output);

    [Fact]
    public void EverySseFormAgreesWithTheHost() => DifferentialRun.Compare(UnitForms.Of(CpuidFeature.SSE), output);

    [Fact]
    public void EverySse2FormAgreesWithTheHost() => DifferentialRun.Compare(UnitForms.Of(CpuidFeature.SSE2), output);

    [Fact]
    public void EverySse3FormAgreesWithTheHost() => DifferentialRun.Compare(UnitForms.Of(CpuidFeature.SSE3, CpuidFeature.FPU).Except(UnitForms.Of(CpuidFeature.FPU)), output);

    [Fact]
    public void EverySsse3FormAgreesWithTheHost() => DifferentialRun.Compare(UnitForms.Of(CpuidFeature.SSSE3), output);

    [Fact]
    public void EverySse41FormAgreesWithTheHost() => DifferentialRun.Compare(UnitForms.Of(CpuidFeature.SSE4_1), output);

    [Fact]
    public void EverySse42FormAgreesWithTheHost() => DifferentialRun.Compare(UnitForms.Of(CpuidFeature.SSE4_2), output);
}
