using System.Runtime.InteropServices;
using Godwit.Engine.Tests.Interpreter.Sse;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Interpreter.X87;

/// <summary>
/// Every x87 form against the host's processor, all exceptions masked. GODWIT_DIFFERENTIAL_COUNT sets how many random
/// states each form meets (default 60), GODWIT_DIFFERENTIAL_SEED repeats a run.
/// </summary>
public sealed class X87DifferentialTests(ITestOutputHelper output)
{
    [Fact]
    public void EveryX87FormAgreesWithTheHost() => DifferentialRun.Compare(
        UnitForms.Of(CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.CMOV)
            .Where(code => code.CpuidFeatures()[0] != CpuidFeature.CMOV && !X87Forms.Transcendental.Contains(code)),
        output);

    [Fact]
    public void TranscendentalFunctionsAgreeWithTheHostToTheLastPlaces() => DifferentialRun.Compare(X87Forms.Transcendental, output);
}

internal static class X87Forms
{
    public static readonly HashSet<Code> Transcendental =
        [Code.F2xm1, Code.Fyl2x, Code.Fyl2xp1, Code.Fptan, Code.Fpatan, Code.Fsin, Code.Fcos, Code.Fsincos];
}
