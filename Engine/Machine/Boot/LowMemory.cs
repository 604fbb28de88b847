using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>
/// Where loaders put their own structures in the first 640 KiB. A kernel that may be loaded there too is refused only
/// where it overlaps what is really used (see <see cref="ImagePlacer"/>).
/// </summary>
internal static class LowMemory
{
    /// <summary>The descriptor table, after the BIOS data area.</summary>
    public static readonly GuestPhysicalAddress Gdt = new(0x500);

    /// <summary>Linux's boot_params, one page.</summary>
    public static readonly GuestPhysicalAddress BootParams = new(0x7000);

    /// <summary>Top of a stack of nearly one page: 16-byte aligned, with room for a pushed word above.</summary>
    public const ulong StackTop = 0x8ff0;

    /// <summary>PML4, page directory pointers, four page directories: six pages.</summary>
    public static readonly GuestPhysicalAddress PageTables = new(0x9000);

    /// <summary>Multiboot's information structure, its memory map, module list and strings.</summary>
    public static readonly GuestPhysicalAddress MultibootInfo = new(0x1_0000);

    /// <summary>Linux's command line.</summary>
    public static readonly GuestPhysicalAddress CommandLine = new(0x2_0000);

    /// <summary>Most bytes of a command line with its NUL: what lies between it and the extended BIOS data area.</summary>
    public const int MaxCommandLineBytes = 0x1_0000;
}
