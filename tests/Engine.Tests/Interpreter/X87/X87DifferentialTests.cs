using System.Runtime.Intrinsics.X86;
using Godwit.Engine.Tests.Interpreter.Sse;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Interpreter.X87;

/// <summary>
/// Every x87 form against the host's processor, exceptions masked and unmasked. GODWIT_DIFFERENTIAL_COUNT sets how many random
/// states each form meets (default 60), GODWIT_DIFFERENTIAL_SEED repeats a run.
/// </summary>
public sealed class X87DifferentialTests(ITestOutputHelper output)
{
    /// <summary>"Auth", of CPUID leaf 0.</summary>
    private const int Amd = 0x68747541;

    [Fact]
    public void EveryX87FormAgreesWithTheHost() => Compare(
        UnitForms.Of(CpuidFeature.FPU, CpuidFeature.FPU287, CpuidFeature.FPU387, CpuidFeature.CMOV)
            .Where(code => code.CpuidFeatures()[0] != CpuidFeature.CMOV && !X87Forms.Transcendental.Contains(code)));

    [Fact]
    public void TranscendentalFunctionsAgreeWithTheHostToTheLastPlace() => Compare(X87Forms.Transcendental);

    // What the manuals leave undefined follows AMD's processors here: others cannot be the reference.
    private void Compare(IEnumerable<Code> forms)
    {
        if (X86Base.CpuId(0, 0).Ebx == Amd)
            DifferentialRun.Compare(forms, output);
        else
            output.WriteLine("not compared: the reference for x87 is an AMD processor");
    }
}

internal static class X87Forms
{
    public static readonly HashSet<Code> Transcendental =
        [Code.F2xm1, Code.Fyl2x, Code.Fyl2xp1, Code.Fptan, Code.Fpatan, Code.Fsin, Code.Fcos, Code.Fsincos];
}
