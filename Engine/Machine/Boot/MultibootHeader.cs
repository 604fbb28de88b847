using System.Buffers.Binary;

namespace Godwit.Engine.Machine.Boot;

/// <summary>The header of a multiboot 1 image (Multiboot Specification 0.6.96, 3.1), found and checked.</summary>
internal sealed record MultibootHeader
{
    private const uint Magic = 0x1bad_b002;

    /// <summary>The header lies wholly within this many bytes, 32-bit aligned.</summary>
    private const int SearchBytes = 8192;

    private const uint VideoWanted = 1 << 2;
    private const uint AddressesGiven = 1 << 16;

    /// <summary>Bits 0-15 must be understood: page-aligned modules, memory information, video mode.</summary>
    private const uint UnknownRequirements = 0xfff8;

    /// <summary>Where the header stands in the file.</summary>
    public required int Offset { get; init; }

    /// <summary>Where to load an image that is not ELF; null where its ELF headers say it.</summary>
    public required MultibootAddresses? Addresses { get; init; }

    /// <summary>Whether a file has a multiboot 1 header with a right checksum.</summary>
    public static bool IsPresent(ReadOnlySpan<byte> file) => Find(file) >= 0;

    /// <summary>Finds and checks the header; throws <see cref="BootException"/> with the first thing that is wrong.</summary>
    public static MultibootHeader Parse(ReadOnlySpan<byte> file, string name)
    {
        int offset = Find(file);
        if (offset < 0)
            throw new BootException(name, "is not a multiboot image: no header with a right checksum in its first 8 KiB");
        uint flags = BinaryPrimitives.ReadUInt32LittleEndian(file[(offset + 4)..]);
        if ((flags & UnknownRequirements) != 0)
            throw new BootException(name, $"requires multiboot features that are not known: flags 0x{flags & UnknownRequirements:x}");
        if ((flags & VideoWanted) != 0)
            throw new BootException(name, "requires a video mode, and this machine has no display");
        return new MultibootHeader
        {
            Offset = offset,
            Addresses = (flags & AddressesGiven) == 0 ? null : MultibootAddresses.Read(file, offset, name),
        };
    }

    private static int Find(ReadOnlySpan<byte> file)
    {
        int last = Math.Min(file.Length, SearchBytes) - 12;
        for (int offset = 0; offset <= last; offset += 4)
        {
            if (BinaryPrimitives.ReadUInt32LittleEndian(file[offset..]) == Magic
                && unchecked(Magic + BinaryPrimitives.ReadUInt32LittleEndian(file[(offset + 4)..]) + BinaryPrimitives.ReadUInt32LittleEndian(file[(offset + 8)..])) == 0)
                return offset;
        }

        return -1;
    }
}

/// <summary>The address fields of a multiboot header (the specification's "a.out kludge"), resolved against the file.</summary>
/// <param name="LoadAddress">Physical address of the first byte loaded.</param>
/// <param name="FileOffset">Where that byte is in the file.</param>
/// <param name="FileBytes">How many bytes of the file are loaded.</param>
/// <param name="MemoryBytes">Bytes in memory: those of the file, then zeros.</param>
/// <param name="Entry">Physical address of the first instruction.</param>
internal sealed record MultibootAddresses(uint LoadAddress, int FileOffset, int FileBytes, uint MemoryBytes, uint Entry)
{
    public static MultibootAddresses Read(ReadOnlySpan<byte> file, int header, string name)
    {
        if (header + 32 > file.Length)
            throw new BootException(name, "is cut short: its multiboot header ends outside the file");
        uint headerAddress = Field(file, header + 12);
        uint load = Field(file, header + 16);
        uint loadEnd = Field(file, header + 20);
        uint bssEnd = Field(file, header + 24);
        if (load > headerAddress || headerAddress - load > (uint)header)
            throw new BootException(name, $"has a damaged multiboot header: load_addr 0x{load:x} and header_addr 0x{headerAddress:x} do not fit its place in the file");
        int offset = header - (int)(headerAddress - load);
        long bytes = loadEnd == 0 ? file.Length - offset : (long)loadEnd - load;
        if (bytes <= 0 || bytes > file.Length - offset)
            throw new BootException(name, $"is cut short: its multiboot header promises bytes up to 0x{loadEnd:x}, and {file.Length - offset} bytes from 0x{load:x} are there");
        long memory = bssEnd == 0 ? bytes : (long)bssEnd - load;
        if (memory < bytes || load + memory > (long)PhysicalMemoryMap.AboveDevices)
            throw new BootException(name, $"has a damaged multiboot header: bss_end_addr 0x{bssEnd:x} is below the end of what is loaded, or that wraps round");
        return new MultibootAddresses(load, offset, (int)bytes, (uint)memory, Field(file, header + 28));
    }

    private static uint Field(ReadOnlySpan<byte> file, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(file[offset..]);
}
