using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>A machine that has every vector instruction which rows exist for, whatever CPU level shows it.</summary>
internal sealed class EveryVectorFeature : IVcpuServices
{
    public CpuidResult Cpuid(uint leaf, uint subleaf) => CpuidModel.Query(CpuLevels.Highest, leaf, subleaf);

    public bool ReadMsr(uint index, out ulong value)
    {
        value = 0;
        return false;
    }

    public bool WriteMsr(uint index, ulong value) => false;

    public void Hypercall(Vcpu vcpu)
    {
    }

    public ulong Random() => 4;
}
