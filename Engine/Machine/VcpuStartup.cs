using Godwit.Engine.Cpu;
using Godwit.Engine.Devices.Lapic;

namespace Godwit.Engine.Machine;

/// <summary>
/// Whether a vCPU has been started: all but the first wait for the messages INIT and start-up (Intel SDM 3A, 8.4), and an
/// INIT makes one wait again.
/// </summary>
internal sealed class VcpuStartup(Vcpu vcpu, LocalApic apic)
{
    /// <summary>The vCPU waits for a start-up message. Saved with the machine.</summary>
    public bool Waits { get; set; } = vcpu.Index != 0;

    /// <summary>Takes what messages there are; false: the vCPU does not run. On its thread.</summary>
    public bool IsStarted()
    {
        lock (vcpu.Bus.Gate)
        {
            if (apic.TakeInit())
            {
                CpuReset.Init(ref vcpu.State);
                vcpu.Translations.FlushAll();
                // The first one has no firmware to return to: it begins at the reset vector, as the manual says.
                Waits = vcpu.Index != 0;
            }
            // One that runs ignores start-up messages: systems send two.
            if (apic.TakeStartup() is { } vector && Waits)
            {
                CpuReset.Start(ref vcpu.State, vector);
                Waits = false;
            }
            return !Waits;
        }
    }
}
