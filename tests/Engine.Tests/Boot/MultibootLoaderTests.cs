using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Xunit;
using static Godwit.Engine.Tests.Boot.SyntheticKernel;

namespace Godwit.Engine.Tests.Boot;

public sealed class MultibootLoaderTests : IDisposable
{
    private const ulong Ram = 16 << 20;
    private readonly GuestMemory _memory = new(Ram);

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void ElfIsEnteredInFlatProtectedModeWithoutPaging()
    {
        byte[] elf = MultibootElf();
        BootEntry entry = MultibootLoader.Load(_memory, Request(elf));

        Assert.Equal(BootMode.Protected32, entry.Mode);
        Assert.Equal(ElfAddress + 32, entry.Rip);
        Assert.Equal(0x2bad_b002UL, entry.Rax);
        Assert.Equal((0x11UL, 0UL, 0UL, 0UL), (entry.Cr0, entry.Cr3, entry.Cr4, entry.Efer));
        Assert.Equal(elf[ElfCode..], Read(ElfAddress, ElfCodeBytes));
        Assert.Equal(0x00cf_9b00_0000_ffffUL, entry.CodeDescriptor);
        Assert.Equal(entry.CodeDescriptor, BinaryPrimitives.ReadUInt64LittleEndian(Read(entry.Gdt.Value + entry.CodeSelector, 8)));
        Assert.Equal(entry.DataDescriptor, BinaryPrimitives.ReadUInt64LittleEndian(Read(entry.Gdt.Value + entry.DataSelector, 8)));
    }

    [Fact]
    public void InformationNamesMemoryCommandLineModuleAndLoader()
    {
        byte[] module = [1, 2, 3, 4, 5];
        BootEntry entry = MultibootLoader.Load(_memory, Request(MultibootElf(), module, "one two"));

        Assert.Equal(1u | 4 | 8 | 64 | 512, Word(entry.Rbx));
        Assert.Equal(639u, Word(entry.Rbx + 4));
        Assert.Equal((uint)((Ram >> 10) - 1024), Word(entry.Rbx + 8));
        Assert.Equal("kernel.img one two", String(Word(entry.Rbx + 16)));
        Assert.Equal("godwit", String(Word(entry.Rbx + 64)));
        Assert.Equal(1u, Word(entry.Rbx + 20));
        ulong record = Word(entry.Rbx + 24);
        Assert.Equal(ElfAddress + ElfMemoryBytes, Word(record));
        Assert.Equal(Word(record) + 5, Word(record + 4));
        Assert.Equal("", String(Word(record + 8)));
        Assert.Equal(module, Read(Word(record), 5));
    }

    [Fact]
    public void MemoryMapEntriesAreWalkedBySize()
    {
        BootEntry entry = MultibootLoader.Load(_memory, Request(MultibootElf()));

        Assert.Equal(0u, Word(entry.Rbx) & 8);
        List<MemoryRange> ranges = [];
        ulong end = Word(entry.Rbx + 48) + Word(entry.Rbx + 44);
        for (ulong at = Word(entry.Rbx + 48); at < end; at += Word(at) + 4)
        {
            byte[] bytes = Read(at + 4, 20);
            ranges.Add(new MemoryRange(BinaryPrimitives.ReadUInt64LittleEndian(bytes), BinaryPrimitives.ReadUInt64LittleEndian(bytes.AsSpan(8)), (MemoryKind)BinaryPrimitives.ReadUInt32LittleEndian(bytes.AsSpan(16))));
        }

        Assert.Equal(PhysicalMemoryMap.Build(Ram), ranges);
    }

    [Fact]
    public void HeaderAddressesLoadAFlatBinary()
    {
        byte[] flat = MultibootFlat();
        BootEntry entry = MultibootLoader.Load(_memory, Request(flat, [9]));

        Assert.Equal(0x10_0040UL, entry.Rip);
        Assert.Equal(flat, Read(0x10_0000, FlatBytes));
        Assert.Equal(0x10_1000u, Word(Word(entry.Rbx + 24)));
    }

    public static TheoryData<string, string> BrokenImages => new()
    {
        { "no-header", "not a multiboot image" },
        { "bad-checksum", "not a multiboot image" },
        { "late-header", "not a multiboot image" },
        { "unknown-flag", "features that are not known: flags 0x8" },
        { "video", "video mode" },
        { "elf64", "64-bit ELF" },
        { "not-elf", "not an ELF file" },
        { "arm", "not an ELF file for x86" },
        { "relocatable", "not a linked ELF executable" },
        { "no-segments", "nothing to load" },
        { "headers-outside", "cut short" },
        { "too-many-headers", "damaged ELF header" },
        { "segment-outside-file", "cut short" },
        { "segment-offset-wraps", "cut short" },
        { "segment-shrinks", "more bytes in the file than in memory" },
        { "segment-wraps", "wraps round at 4 GiB" },
        { "segment-beyond-ram", "does not fit in memory" },
        { "segment-on-acpi", "reserved area" },
        { "segment-on-info", "overlaps" },
        { "segments-overlap", "overlaps" },
        { "entry-outside", "entry 0x1234 is in no loaded segment" },
        { "flat-header-mismatch", "damaged multiboot header" },
        { "flat-load-end-low", "cut short" },
        { "flat-load-end-high", "cut short" },
        { "flat-bss-low", "damaged multiboot header" },
        { "flat-cut", "cut short" },
        { "module-too-big", "does not fit in memory: the module" },
    };

    [Theory]
    [MemberData(nameof(BrokenImages))]
    public void BrokenImageIsRefusedInOneLine(string fault, string expected)
    {
        byte[] elf = MultibootElf();
        byte[] flat = MultibootFlat();
        byte[] module = [];
        byte[] image = fault.StartsWith("flat", StringComparison.Ordinal) ? flat : elf;
        switch (fault)
        {
            case "no-header": image = [.. Enumerable.Repeat((byte)'x', 9000)]; break;
            case "bad-checksum": elf[ElfCode + 8] ^= 1; break;
            case "late-header": image = [.. new byte[8192 - 8], .. elf[ElfCode..]]; break;
            case "unknown-flag": image = MultibootElf(0xb & ~3u); break;
            case "video": image = MultibootElf(4); break;
            case "elf64": elf[4] = 2; break;
            case "not-elf": elf[0] = 0; break;
            case "arm": U16(elf, 18, 40); break;
            case "relocatable": U16(elf, 16, 1); break;
            case "no-segments": U32(elf, ElfProgramHeaders, 2); break;
            case "headers-outside": U32(elf, 28, 0xffff_fff0); break;
            case "too-many-headers": U16(elf, 44, 0xffff); break;
            case "segment-outside-file": Segment(elf, 0, ElfCode, ElfAddress, 65, 65); break;
            case "segment-offset-wraps": Segment(elf, 0, 0xffff_ffff, ElfAddress, 64, 64); break;
            case "segment-shrinks": Segment(elf, 0, ElfCode, ElfAddress, 64, 63); break;
            case "segment-wraps": Segment(elf, 0, ElfCode, 0xffff_f000, 64, 0x1001); break;
            case "segment-beyond-ram": Segment(elf, 0, ElfCode, (uint)Ram - 32, 64, 64); break;
            case "segment-on-acpi": Segment(elf, 0, ElfCode, 0xe_0000, 64, 64); break;
            case "segment-on-info": Segment(elf, 0, ElfCode, 0x1_0000, 64, 64); U32(elf, 24, 0x1_0000); break;
            case "segments-overlap": U16(elf, 44, 2); Segment(elf, 1, ElfCode, ElfAddress + ElfMemoryBytes - 1, 64, 64); break;
            case "entry-outside": U32(elf, 24, 0x1234); break;
            case "flat-header-mismatch": U32(flat, 0x20, 0x10_0011); break;
            case "flat-load-end-low": U32(flat, 0x24, 0x10_0000); break;
            case "flat-load-end-high": U32(flat, 0x24, 0x10_0000 + FlatBytes + 1); break;
            case "flat-bss-low": U32(flat, 0x28, 0x10_0001); break;
            case "flat-cut": image = flat[..0x2e]; break;
            case "module-too-big": module = new byte[Ram - ElfAddress]; break;
        }

        BootException error = Assert.Throws<BootException>(() => MultibootLoader.Load(_memory, Request(image, module)));

        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    private byte[] Read(ulong address, int bytes)
    {
        byte[] result = new byte[bytes];
        Assert.True(_memory.TryRead(new GuestPhysicalAddress(address), result));
        return result;
    }

    private uint Word(ulong address) => BinaryPrimitives.ReadUInt32LittleEndian(Read(address, 4));

    private string String(ulong address)
    {
        byte[] bytes = Read(address, 256);
        return Encoding.UTF8.GetString(bytes, 0, Array.IndexOf(bytes, (byte)0));
    }
}
