using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>A machine that has every vector instruction which rows exist for, whatever CPU level shows it.</summary>
internal sealed class EveryVectorFeature : IVcpuServices
{
    // Leaf 1 ECX: SSE3, SSSE3, SSE4.1, SSE4.2.
    private const uint Ecx = 1u << 0 | 1u << 9 | 1u << 19 | 1u << 20;

    public CpuidResult Cpuid(uint leaf, uint subleaf)
    {
        CpuidResult result = CpuidModel.Query(CpuLevel.V1, leaf, subleaf);
        return leaf == 1 ? result with { Ecx = result.Ecx | Ecx } : result;
    }

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
