using System.Buffers.Binary;

namespace Godwit.Engine.Machine.Boot;

/// <summary>A loadable segment of an ELF file.</summary>
/// <param name="Address">Physical address.</param>
/// <param name="Bytes">What the file holds of it.</param>
/// <param name="MemorySize">Bytes in memory: those of the file, then zeros.</param>
internal readonly record struct ElfSegment(uint Address, ReadOnlyMemory<byte> Bytes, uint MemorySize);

/// <summary>A statically linked 32-bit x86 ELF executable (System V ABI, Intel386 supplement).</summary>
internal sealed record ElfImage(uint Entry, IReadOnlyList<ElfSegment> Segments)
{
    private const int HeaderBytes = 52;
    private const int ProgramHeaderBytes = 32;
    private const byte ELFCLASS32 = 1;
    private const byte ELFCLASS64 = 2;
    private const byte ELFDATA2LSB = 1;
    private const ushort ET_EXEC = 2;
    private const ushort EM_386 = 3;
    private const uint PT_LOAD = 1;

    /// <summary>More than any kernel has; what lies between this and 65535 is an attack on patience.</summary>
    private const int MostProgramHeaders = 128;

    /// <summary>Reads and checks the file; throws <see cref="BootException"/> with the first thing that is wrong.</summary>
    public static ElfImage Parse(ReadOnlyMemory<byte> image, string name)
    {
        ReadOnlySpan<byte> file = image.Span;
        if (file.Length < HeaderBytes || !file.StartsWith("\x7f"u8) || !file[1..].StartsWith("ELF"u8))
            throw new BootException(name, "is not an ELF file, and its multiboot header gives no load addresses");
        if (file[4] == ELFCLASS64)
            throw new BootException(name, "is a 64-bit ELF: multiboot 1 loads 32-bit ones (objcopy -O elf32-i386 makes one)");
        if (file[4] != ELFCLASS32 || file[5] != ELFDATA2LSB || U16(file, 18) != EM_386)
            throw new BootException(name, "is not an ELF file for x86");
        if (U16(file, 16) != ET_EXEC)
            throw new BootException(name, "is not a linked ELF executable");
        uint table = U32(file, 28);
        int entrySize = U16(file, 42);
        int count = U16(file, 44);
        if (entrySize != ProgramHeaderBytes || count is 0 or > MostProgramHeaders)
            throw new BootException(name, $"has a damaged ELF header: {count} program headers of {entrySize} bytes");
        if (table + (ulong)(count * ProgramHeaderBytes) > (ulong)file.Length)
            throw new BootException(name, "is cut short: its program headers are not in the file");

        List<ElfSegment> segments = [];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> header = file.Slice((int)table + i * ProgramHeaderBytes, ProgramHeaderBytes);
            if (U32(header, 0) == PT_LOAD && U32(header, 20) != 0)
                segments.Add(ReadSegment(image, header, i, name));
        }

        if (segments.Count == 0)
            throw new BootException(name, "has nothing to load: no PT_LOAD segment");
        return new ElfImage(U32(file, 24), segments);
    }

    private static ElfSegment ReadSegment(ReadOnlyMemory<byte> image, ReadOnlySpan<byte> header, int index, string name)
    {
        uint offset = U32(header, 4);
        uint address = U32(header, 12);
        uint fileSize = U32(header, 16);
        uint memorySize = U32(header, 20);
        if (offset + (ulong)fileSize > (ulong)image.Length)
            throw new BootException(name, $"is cut short: segment {index} takes 0x{fileSize:x} bytes at file offset 0x{offset:x}");
        if (fileSize > memorySize)
            throw new BootException(name, $"has a damaged program header: segment {index} has more bytes in the file than in memory");
        if (address + (ulong)memorySize > PhysicalMemoryMap.AboveDevices)
            throw new BootException(name, $"has a damaged program header: segment {index} wraps round at 4 GiB");
        return new ElfSegment(address, image.Slice((int)offset, (int)fileSize), memorySize);
    }

    private static ushort U16(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[offset..]);

    private static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);
}
