namespace Godwit.Engine.Devices;

/// <summary>What a vCPU asks of its local APIC (with the 8259 behind it through LINT0 or directly).</summary>
public interface IInterruptController
{
    /// <summary>An interrupt above the processor priority waits, or may; cheap enough to ask between blocks, by any thread.</summary>
    bool HasInterrupt { get; }

    /// <summary>A non-maskable interrupt waits; as cheap as <see cref="HasInterrupt"/>.</summary>
    bool HasNmi => false;

    /// <summary>A non-maskable interrupt waits; reading takes it.</summary>
    bool TakeNmi();

    /// <summary>Takes the waiting interrupt: moves it in service and returns its vector; -1 when it is gone.</summary>
    int Acknowledge();

    /// <summary>CR8, 0 to 15.</summary>
    byte TaskPriority { get; set; }

    /// <summary>Reads an APIC MSR (IA32_APIC_BASE 0x1b, TSC_DEADLINE 0x6e0, x2APIC 0x800-0x8ff); false means #GP.</summary>
    bool ReadMsr(uint index, out ulong value);

    /// <summary>Writes an APIC MSR; false means #GP.</summary>
    bool WriteMsr(uint index, ulong value);
}
