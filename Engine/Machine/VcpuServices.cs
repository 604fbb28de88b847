using System.Security.Cryptography;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Paravirt;

namespace Godwit.Engine.Machine;

/// <summary>What the machine offers its vCPU beside memory and bus: its CPUID model, paravirtual MSRs and calls, randomness.</summary>
internal sealed class VcpuServices(MachineSpec spec, KvmMsrs kvm, IGuestClock clock) : IVcpuServices
{
    private const uint HypervisorLeaves = 0x40000000;
    private const uint HypervisorMask = 0xf0000000;

    private ulong _sequence;

    public CpuidResult Cpuid(uint leaf, uint subleaf)
    {
        if ((leaf & HypervisorMask) != HypervisorLeaves)
            return CpuidModel.Query(spec.CpuLevel, leaf, subleaf);
        return ParavirtCpuid.Leaf(leaf, subleaf) is { } found ? new CpuidResult(found.Eax, found.Ebx, found.Ecx, found.Edx) : default;
    }

    public bool ReadMsr(uint index, out ulong value) => kvm.ReadMsr(index, out value);

    public bool WriteMsr(uint index, ulong value) => kvm.WriteMsr(index, value);

    public void Hypercall(Vcpu vcpu) => Hypercalls.VmCall(new VcpuRegisters(vcpu));

    public ulong Random()
    {
        if (spec.Clock == ClockMode.Host)
            return BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        // SplitMix64 over time and a counter: the same run draws the same numbers.
        ulong z = clock.Nanoseconds + ++_sequence * 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
}
