namespace Godwit.Engine.Machine.Boot;

/// <summary>What a range of guest physical addresses is; the values are those of BIOS INT 15h E820 and of multiboot.</summary>
public enum MemoryKind : uint
{
    Ram = 1,
    Reserved = 2,
}

/// <summary>A range of guest physical addresses.</summary>
/// <param name="Start">First byte.</param>
/// <param name="Length">Bytes.</param>
/// <param name="Kind">What is there.</param>
public readonly record struct MemoryRange(ulong Start, ulong Length, MemoryKind Kind)
{
    /// <summary>One past the last byte.</summary>
    public ulong End => Start + Length;
}

/// <summary>
/// The machine's map of physical memory as a guest is told it. RAM's backing is contiguous from 0, so a machine with more
/// RAM than <see cref="DeviceHole"/> does not use what lies under the devices below 4 GiB.
/// </summary>
public static class PhysicalMemoryMap
{
    /// <summary>The extended BIOS data area: end of usable conventional memory.</summary>
    public const ulong ExtendedBiosData = 0x9_fc00;

    /// <summary>First byte of the legacy video and option ROM hole.</summary>
    public const ulong LegacyHole = 0xa_0000;

    /// <summary>The BIOS area, where the machine's ACPI tables lie.</summary>
    public const ulong AcpiTables = 0xe_0000;

    /// <summary>1 MiB.</summary>
    public const ulong HighMemory = 0x10_0000;

    /// <summary>3 GiB: from here to 4 GiB addresses belong to devices (I/O APIC 0xfec00000, local APIC 0xfee00000).</summary>
    public const ulong DeviceHole = 0xc000_0000;

    /// <summary>4 GiB.</summary>
    public const ulong AboveDevices = 0x1_0000_0000;

    /// <summary>One past the highest usable byte below 4 GiB, for a machine with this much RAM.</summary>
    public static ulong TopOfLowRam(ulong ramBytes) => Math.Min(ramBytes, DeviceHole);

    /// <summary>The map, ascending and free of overlaps. <paramref name="ramBytes"/> must be over 1 MiB.</summary>
    public static IReadOnlyList<MemoryRange> Build(ulong ramBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(ramBytes, HighMemory);
        List<MemoryRange> ranges =
        [
            new(0, ExtendedBiosData, MemoryKind.Ram),
            new(ExtendedBiosData, LegacyHole - ExtendedBiosData, MemoryKind.Reserved),
            new(AcpiTables, HighMemory - AcpiTables, MemoryKind.Reserved),
            new(HighMemory, TopOfLowRam(ramBytes) - HighMemory, MemoryKind.Ram),
        ];
        if (ramBytes > AboveDevices)
            ranges.Add(new MemoryRange(AboveDevices, ramBytes - AboveDevices, MemoryKind.Ram));
        return ranges;
    }
}
