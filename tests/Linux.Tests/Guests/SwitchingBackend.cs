using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Translation;

namespace Godwit.Linux.Tests.Guests;

/// <summary>A back end that goes from interpreter to translator and back at given instruction counts.</summary>
internal sealed class SwitchingBackend(Vcpu vcpu, IReadOnlyList<ulong> points) : IVcpuBackend
{
    private IVcpuBackend _running = new InterpreterBackend(vcpu);

    /// <summary>How often it has switched.</summary>
    public int Switches { get; private set; }

    public VcpuExit Run(long budget)
    {
        if (Switches < points.Count)
            budget = Math.Min(budget, (long)(points[Switches] - vcpu.State.RetiredInstructions));
        VcpuExit exit = _running.Run(budget);
        if (Switches < points.Count && vcpu.State.RetiredInstructions == points[Switches])
        {
            _running.Dispose();
            Switches++;
            _running = Switches % 2 == 0 ? new InterpreterBackend(vcpu) : new TranslatorBackend(vcpu);
        }
        return exit;
    }

    public void Reset() => _running.Reset();

    public void Dispose() => _running.Dispose();
}
