using System.Buffers.Binary;

namespace Godwit.Engine.Machine.Boot;

/// <summary>The descriptor tables that a machine starts with (Intel SDM volume 3, 3.4.5 for the bit layout).</summary>
internal static class BootDescriptors
{
    /// <summary>Linux's __BOOT_CS; multiboot leaves the choice to the loader.</summary>
    public const ushort CodeSelector = 0x10;

    /// <summary>Linux's __BOOT_DS.</summary>
    public const ushort DataSelector = 0x18;

    /// <summary>Execute/read, accessed, present, L=1, 4 KiB granular.</summary>
    public const ulong Code64 = 0x00af_9b00_0000_ffff;

    /// <summary>Execute/read, accessed, present, D=1, base 0, limit 4 GiB.</summary>
    public const ulong Code32 = 0x00cf_9b00_0000_ffff;

    /// <summary>Read/write, accessed, present, D=1, base 0, limit 4 GiB.</summary>
    public const ulong Data = 0x00cf_9300_0000_ffff;

    /// <summary>CR0: protection, ET as hardwired on every processor with an on-chip FPU.</summary>
    public const ulong Cr0Protected = 0x11;

    /// <summary>CR0.PG.</summary>
    public const ulong Cr0Paging = 0x8000_0000;

    /// <summary>CR4.PAE.</summary>
    public const ulong Cr4Pae = 0x20;

    /// <summary>EFER.LME and EFER.LMA.</summary>
    public const ulong EferLongMode = 0x500;

    /// <summary>Bytes in the table: null, unused, code, data.</summary>
    public const ushort Bytes = 32;

    /// <summary>The table with the given code segment at 0x10 and flat data at 0x18.</summary>
    public static byte[] Table(ulong code)
    {
        byte[] table = new byte[Bytes];
        BinaryPrimitives.WriteUInt64LittleEndian(table.AsSpan(CodeSelector), code);
        BinaryPrimitives.WriteUInt64LittleEndian(table.AsSpan(DataSelector), Data);
        return table;
    }
}
