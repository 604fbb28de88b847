using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Memory;
using Godwit.Engine.Paravirt;
using MessagePack;

namespace Godwit.Engine.Machine;

/// <summary>One vCPU with what belongs to it alone: its back end, its paravirtual MSRs, and whether it has been started.</summary>
internal sealed class Processor : IDisposable
{
    public Processor(int index, MachineSpec spec, GuestMemory memory, Bus bus, LocalApic apic, IMachineClock clock, SafePoints safePoints, Func<Vcpu, IVcpuBackend> backend)
    {
        KvmMsrs = new KvmMsrs(memory, clock, tscAdjust: () => Vcpu!.State.TscAdjust, settleEoi: apic.SettlePvEoi);
        apic.PvEoi = KvmMsrs.PvEoi;
        Vcpu = new Vcpu(memory, bus, apic, clock, new VcpuServices(spec, KvmMsrs, clock)) { Index = index };
        Vcpu.Seat = safePoints.Add(Vcpu);
        Registers = new VcpuRegisters(Vcpu);
        Startup = new VcpuStartup(Vcpu, apic);
        Backend = backend(Vcpu);
        CpuReset.Apply(ref Vcpu.State);
    }

    public Vcpu Vcpu { get; }

    public VcpuRegisters Registers { get; }

    public KvmMsrs KvmMsrs { get; }

    public VcpuStartup Startup { get; }

    public IVcpuBackend Backend { get; }

    public void Dispose()
    {
        Backend.Dispose();
        Vcpu.Dispose();
    }
}

/// <summary>Which vCPUs wait for a start-up message. Keys are append-only.</summary>
[MessagePackObject]
public sealed record StartupState
{
    /// <summary>One for each vCPU.</summary>
    [Key(0)]
    public required bool[] Waits { get; init; }
}
