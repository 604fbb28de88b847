using Godwit.Engine.Devices.Cmos;
using Godwit.Engine.Devices.Power;
using Godwit.Engine.Devices.Serial;

namespace Godwit.Engine.Devices.Acpi;

/// <summary>The devices that a guest cannot find by itself, in AML.</summary>
internal static class Dsdt
{
    internal static byte[] Build(AcpiConfiguration configuration) =>
    [
        .. Aml.Name("\\_S5_", Aml.Package(Aml.Integer(AcpiPm.SoftOffType), Aml.Integer(0), Aml.Integer(0), Aml.Integer(0))),
        .. Aml.Scope("\\_SB_",
        [
            .. Enumerable.Range(0, configuration.VcpuCount).Select(Processor),
            SerialPort(),
            Clock(),
            .. configuration.VirtioMmio.Select(VirtioMmio),
        ]),
    ];

    private static byte[] Processor(int index) => Aml.Device($"C{index:X3}",
        Aml.Name("_HID", Aml.String("ACPI0007")),
        Aml.Name("_UID", Aml.Integer((uint)index)));

    private static byte[] SerialPort() => Aml.Device("COM1",
        Aml.Name("_HID", Aml.EisaId("PNP0501")),
        Aml.Name("_UID", Aml.Integer(1)),
        Aml.Name("_CRS", Aml.Resources(
            Aml.Ports(Uart16550.Com1Port, Uart16550.PortCount),
            Aml.IsaInterrupt(Uart16550.Com1Interrupt))));

    private static byte[] Clock() => Aml.Device("RTC_",
        Aml.Name("_HID", Aml.EisaId("PNP0B00")),
        Aml.Name("_CRS", Aml.Resources(
            Aml.Ports(Rtc.Port, 2),
            Aml.IsaInterrupt(Rtc.Interrupt))));

    private static byte[] VirtioMmio(VirtioMmioSlot slot, int index) => Aml.Device($"VR{index:X2}",
        Aml.Name("_HID", Aml.String("LNRO0005")),
        Aml.Name("_UID", Aml.Integer((uint)index)),
        Aml.Name("_CRS", Aml.Resources(
            Aml.Memory(slot.Start, slot.Length),
            Aml.LevelInterrupt((uint)slot.Interrupt))));
}
