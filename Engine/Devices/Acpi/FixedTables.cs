using Godwit.Engine.Devices.Cmos;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Ioapic;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Devices.Power;

namespace Godwit.Engine.Devices.Acpi;

/// <summary>The tables of fixed shape (ACPI 6.5, 5.2), without their headers where they have the common one.</summary>
internal static class FixedTables
{
    internal const int HeaderLength = 36, ChecksumOffset = 9;

    internal const string OemId = "GODWIT";

    private const int FirstChecksum = 8, FirstLength = 20, ExtendedChecksum = 32;

    /// <summary>Root System Description Pointer, revision 2, no RSDT.</summary>
    internal static byte[] Rsdp(uint xsdt)
    {
        byte[] bytes = new TableWriter().Text("RSD PTR ").U8(0).Text(OemId).U8(2).U32(0).U32(36).U64(xsdt).U8(0).Zeros(3).ToArray();
        bytes[FirstChecksum] = AcpiTables.Checksum(bytes.AsSpan(0, FirstLength));
        bytes[ExtendedChecksum] = AcpiTables.Checksum(bytes);
        return bytes;
    }

    /// <summary>Firmware ACPI Control Structure: the global lock and the wake vectors, version 2.</summary>
    internal static byte[] Facs() => new TableWriter().Text("FACS").U32(64).Zeros(24).U8(2).Zeros(31).ToArray();

    /// <summary>Fixed ACPI Description Table: where <see cref="AcpiPm"/> and <see cref="ResetPort"/> are, and what a PC has that this lacks.</summary>
    internal static byte[] Fadt(uint facs, uint dsdt)
    {
        const byte enterpriseServer = 4;
        const ushort noC2OrC3 = 0xfff;
        // Legacy devices; neither keyboard controller worth probing, VGA, message-signalled interrupts nor ASPM.
        const ushort bootArchitecture = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4;
        // WBINVD, C1, no fixed sleep button, no RTC wake status, 32-bit timer, reset register.
        const uint flags = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10;
        const ushort eventBlock = AcpiPm.Port + AcpiPm.EventOffset, controlBlock = AcpiPm.Port + AcpiPm.ControlOffset, timerBlock = AcpiPm.Port + AcpiPm.TimerOffset;
        TableWriter table = new();
        table.U32(facs).U32(dsdt).U8(0).U8(enterpriseServer).U16(AcpiPm.Interrupt);
        // No SMI command port: ACPI mode is always on.
        table.U32(0).Zeros(4);
        table.U32(eventBlock).U32(0).U32(controlBlock).U32(0).U32(0).U32(timerBlock).U32(0).U32(0);
        table.U8(4).U8(2).U8(0).U8(4).U8(0).U8(0).U8(0).U8(0);
        table.U16(noC2OrC3).U16(noC2OrC3).U16(0).U16(0).U8(0).U8(0).U8(0).U8(0).U8(RtcTime.Century);
        table.U16(bootArchitecture).U8(0).U32(flags);
        Register(table, 8, ResetPort.Port).U8(ResetPort.ResetValue);
        table.U16(0).U8(5);
        table.U64(0).U64(dsdt);
        Register(table, 32, eventBlock);
        Register(table, 0, 0);
        Register(table, 16, controlBlock);
        Register(table, 0, 0);
        Register(table, 0, 0);
        Register(table, 32, timerBlock);
        // General purpose event blocks, sleep control and status, hypervisor vendor: none.
        table.Zeros(4 * 12 + 8);
        return table.ToArray();
    }

    /// <summary>Multiple APIC Description Table.</summary>
    internal static byte[] Madt(int vcpuCount)
    {
        const uint pcCompatible = 1;
        const ushort conforms = 0, activeHighLevel = 0x0d;
        TableWriter table = new();
        table.U32((uint)LocalApic.DefaultBase).U32(pcCompatible);
        for (int vcpu = 0; vcpu < vcpuCount; vcpu++)
            table.U8(0).U8(8).U8((byte)vcpu).U8((byte)vcpu).U32(1);
        table.U8(1).U8(12).U8(0).U8(0).U32((uint)IoApic.DefaultBase).U32(0);
        SourceOverride(table, 0, InterruptRouter.TimerPin, conforms);
        SourceOverride(table, AcpiPm.Interrupt, AcpiPm.Interrupt, activeHighLevel);
        // NMI on LINT1 of all processors.
        table.U8(4).U8(6).U8(0xff).U16(conforms).U8(1);
        return table.ToArray();
    }

    private static void SourceOverride(TableWriter table, byte isaInterrupt, uint globalInterrupt, ushort flags) =>
        table.U8(2).U8(10).U8(0).U8(isaInterrupt).U32(globalInterrupt).U16(flags);

    /// <summary>A generic address structure of system I/O space; all zeros where there is no such register.</summary>
    private static TableWriter Register(TableWriter table, byte bits, ushort port)
    {
        const byte systemIo = 1;
        byte accessSize = bits switch { 0 => 0, 8 => 1, 16 => 2, _ => 3 };
        return table.U8(bits == 0 ? (byte)0 : systemIo).U8(bits).U8(0).U8(accessSize).U64(port);
    }
}
