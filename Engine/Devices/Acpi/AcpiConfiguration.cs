namespace Godwit.Engine.Devices.Acpi;

/// <summary>What the tables have to say of a machine beyond what every machine has.</summary>
/// <param name="VcpuCount">vCPUs; their APIC identifiers count from 0.</param>
/// <param name="VirtioMmio">virtio-mmio transports in the order of their names.</param>
public sealed record AcpiConfiguration(int VcpuCount, IReadOnlyList<VirtioMmioSlot> VirtioMmio)
{
    public AcpiConfiguration(int vcpuCount)
        : this(vcpuCount, [])
    {
    }
}

/// <summary>A virtio-mmio transport: its registers below 4 GiB and its level-triggered global system interrupt.</summary>
public sealed record VirtioMmioSlot(uint Start, uint Length, int Interrupt);
