namespace Godwit.Engine.Devices.Interrupts;

/// <summary>
/// KVM's paravirtual end of interrupt (MSR_KVM_PV_EOI_EN, 0x4b564d04; Linux Documentation/virt/kvm/x86/msr.rst): bit 0 of
/// a guest word tells the guest that clearing it is enough and no EOI register write is needed. Implemented by whoever
/// owns the MSR; called by the local APIC on its vCPU's own thread, between instructions.
/// </summary>
public interface IPvEoi
{
    /// <summary>Sets bit 0 of the guest's word; false when the guest has not enabled this or the word cannot be written.</summary>
    bool TryArm();

    /// <summary>
    /// Takes an armed bit back: true when the guest had cleared it, which is its end of interrupt. Otherwise clears it
    /// and returns false, and the guest will write the EOI register. A word that cannot be read counts as not cleared.
    /// </summary>
    bool TryConsume();
}
