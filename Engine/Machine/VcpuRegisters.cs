using Godwit.Engine.Cpu;
using Godwit.Engine.Paravirt;

namespace Godwit.Engine.Machine;

/// <summary>A vCPU's registers as its hypercalls see them.</summary>
internal sealed class VcpuRegisters(Vcpu vcpu) : IHypercallContext
{
    public ulong Rax
    {
        get => vcpu[Gpr.RAX];
        set => vcpu[Gpr.RAX] = value;
    }

    public ulong Rbx => vcpu[Gpr.RBX];

    public ulong Rcx => vcpu[Gpr.RCX];

    public ulong Rsi => vcpu[Gpr.RSI];

    public int Cpl => vcpu.State.Cpl;
}
