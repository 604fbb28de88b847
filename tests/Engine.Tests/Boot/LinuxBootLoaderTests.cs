using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Machine;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Xunit;
using static Godwit.Engine.Tests.Boot.SyntheticKernel;

namespace Godwit.Engine.Tests.Boot;

public sealed class LinuxBootLoaderTests : IDisposable
{
    private const ulong Ram = 32 << 20;
    private readonly GuestMemory _memory = new(Ram);

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void KernelIsEnteredAtItsPreferredAddressInLongMode()
    {
        BootEntry entry = LinuxBootLoader.Load(_memory, Request(BzImage()));

        Assert.Equal(BootMode.LongMode64, entry.Mode);
        Assert.Equal(PreferredAddress + 0x200, entry.Rip);
        Assert.Equal(0x8000_0011UL, entry.Cr0);
        Assert.Equal(0x20UL, entry.Cr4);
        Assert.Equal(0x500UL, entry.Efer);
        Assert.Equal(BzImage()[PayloadStart..], Read(PreferredAddress, PayloadBytes));
    }

    [Fact]
    public void SelectorsNameLinuxBootSegmentsInTheTable()
    {
        BootEntry entry = LinuxBootLoader.Load(_memory, Request(BzImage()));

        Assert.Equal((0x10, 0x18), (entry.CodeSelector, entry.DataSelector));
        Assert.Equal(entry.CodeDescriptor, U64At(entry.Gdt.Value + 0x10));
        Assert.Equal(entry.DataDescriptor, U64At(entry.Gdt.Value + 0x18));
        Assert.Equal(0UL, U64At(entry.Gdt.Value));
        Assert.True((entry.CodeDescriptor & (1UL << 53)) != 0, "L bit");
        Assert.Equal(31, entry.GdtLimit);
    }

    [Fact]
    public void PageTablesMapTheFirstFourGibToThemselves()
    {
        BootEntry entry = LinuxBootLoader.Load(_memory, Request(BzImage()));

        foreach (ulong address in new ulong[] { 0, 0x1234, PreferredAddress, 0x3fff_ffff, 0x4000_0000, 0xfee0_0030, 0xffff_ffff })
            Assert.Equal(address, Walk(entry.Cr3, address));
        Assert.Null(Walk(entry.Cr3, 0x1_0000_0000));
    }

    [Fact]
    public void BootParamsCarryHeaderCommandLineAndLoaderType()
    {
        byte[] kernel = BzImage();
        BootEntry entry = LinuxBootLoader.Load(_memory, Request(kernel, commandLine: "console=ttyS0 é"));

        byte[] page = Read(entry.Rsi, 4096);
        Assert.Equal("HdrS", Encoding.ASCII.GetString(page, 0x202, 4));
        Assert.Equal(0xff, page[0x210]);
        Assert.Equal(kernel[0x230..0x264], page[0x230..0x264]);
        Assert.Equal(0, page[0x26c]);
        uint commandLine = BinaryPrimitives.ReadUInt32LittleEndian(page.AsSpan(0x228));
        Assert.Equal([.. Encoding.UTF8.GetBytes("console=ttyS0 é"), 0], Read(commandLine, 17));
    }

    [Fact]
    public void MemoryMapLeavesHoleAndAcpiAreaAndEndsWithRam()
    {
        BootEntry entry = LinuxBootLoader.Load(_memory, Request(BzImage()));

        byte[] page = Read(entry.Rsi, 4096);
        Assert.Equal(
            [(0, 0x9_fc00, 1u), (0x9_fc00, 0x400, 2u), (0xe_0000, 0x2_0000, 2u), (0x10_0000, Ram - 0x10_0000, 1u)],
            Enumerable.Range(0, page[0x1e8]).Select(i => 0x2d0 + i * 20).Select(at => (
                BinaryPrimitives.ReadUInt64LittleEndian(page.AsSpan(at)),
                BinaryPrimitives.ReadUInt64LittleEndian(page.AsSpan(at + 8)),
                BinaryPrimitives.ReadUInt32LittleEndian(page.AsSpan(at + 16)))));
    }

    [Theory]
    [InlineData(256UL << 20, 256UL << 20, 0UL)]
    [InlineData(3UL << 30, 3UL << 30, 0UL)]
    [InlineData(4UL << 30, 3UL << 30, 0UL)]
    [InlineData(6UL << 30, 3UL << 30, 2UL << 30)]
    public void MemoryMapKeepsRamOffTheDevicesBelowFourGib(ulong ram, ulong lowEnd, ulong highBytes)
    {
        IReadOnlyList<MemoryRange> map = PhysicalMemoryMap.Build(ram);

        Assert.Equal(lowEnd, map[3].End);
        Assert.Equal(highBytes, map.Where(r => r.Start >= 1UL << 32).Aggregate(0UL, (sum, r) => sum + r.Length));
        Assert.All(map.Zip(map.Skip(1)), pair => Assert.True(pair.First.End <= pair.Second.Start));
    }

    [Theory]
    [InlineData((ushort)0x020e, 0xe0000UL)]
    [InlineData((ushort)0x020d, 0UL)]
    public void AcpiRootPointerIsPassedToKernelsThatReadIt(ushort version, ulong expected)
    {
        byte[] kernel = BzImage();
        U16(kernel, 0x206, version);

        BootEntry entry = LinuxBootLoader.Load(_memory, Request(kernel) with { AcpiRsdp = new GuestPhysicalAddress(0xe0000) });

        Assert.Equal(expected, U64At(entry.Rsi + 0x70));
    }

    [Theory]
    [InlineData(0x7fff_ffffu, Ram - 0x2000)]
    [InlineData(0x17f_ffffu, 0x180_0000UL - 0x2000)]
    public void InitramfsLiesAsHighAsItMayPageAligned(uint highest, ulong expected)
    {
        byte[] kernel = BzImage();
        U32(kernel, 0x22c, highest);
        byte[] initrd = [.. Enumerable.Range(0, 0x1001).Select(i => (byte)(i % 251))];

        BootEntry entry = LinuxBootLoader.Load(_memory, Request(kernel, initrd));

        byte[] page = Read(entry.Rsi, 4096);
        Assert.Equal(expected, BinaryPrimitives.ReadUInt32LittleEndian(page.AsSpan(0x218)));
        Assert.Equal(0x1001u, BinaryPrimitives.ReadUInt32LittleEndian(page.AsSpan(0x21c)));
        Assert.Equal(initrd, Read(expected, initrd.Length));
    }

    [Fact]
    public void BytesBehindTheKernelAreNotLoaded()
    {
        byte[] signed = [.. BzImage(), .. Enumerable.Repeat((byte)0xee, 600)];

        LinuxBootLoader.Load(_memory, Request(signed));

        Assert.Equal(new byte[16], Read(PreferredAddress + PayloadBytes, 16));
    }

    public static TheoryData<string, string> BrokenKernels => new()
    {
        { "text", "kernel.img is not a bzImage: no HdrS signature at offset 0x202" },
        { "empty", "no HdrS signature" },
        { "old", "boot protocol 2.11" },
        { "jump-low", "damaged setup header" },
        { "jump-high", "damaged setup header" },
        { "zimage", "zImage" },
        { "32-bit", "not a 64-bit kernel" },
        { "cut-setup", "cut short" },
        { "cut-payload", "cut short" },
        { "syssize-huge", "cut short" },
        { "syssize-zero", "does not reach its 64-bit entry" },
        { "init-small", "init_size" },
        { "init-huge", "more memory" },
        { "pref-low", "pref_address" },
        { "pref-odd", "pref_address" },
        { "pref-wrap", "more memory" },
    };

    [Theory]
    [MemberData(nameof(BrokenKernels))]
    public void BrokenKernelIsRefusedInOneLine(string fault, string expected)
    {
        byte[] kernel = BzImage();
        switch (fault)
        {
            case "text": kernel = [.. Enumerable.Repeat((byte)'a', 5000)]; break;
            case "empty": kernel = []; break;
            case "old": U16(kernel, 0x206, 0x020b); break;
            case "jump-low": kernel[0x201] = 0x61; break;
            case "jump-high": kernel[0x201] = 0x8f; break;
            case "zimage": kernel[0x211] = 0; break;
            case "32-bit": U16(kernel, 0x236, 0x7e); break;
            case "cut-setup": kernel = kernel[..0x300]; break;
            case "cut-payload": kernel = kernel[..^20]; break;
            case "syssize-huge": U32(kernel, 0x1f4, uint.MaxValue); break;
            case "syssize-zero": U32(kernel, 0x1f4, 0); break;
            case "init-small": U32(kernel, 0x260, PayloadBytes - 1); break;
            case "init-huge": U32(kernel, 0x260, uint.MaxValue); break;
            case "pref-low": U32(kernel, 0x258, 0xf000); break;
            case "pref-odd": U32(kernel, 0x258, 0x100_0010); break;
            case "pref-wrap": U32(kernel, 0x25c, 0xffff_ffff); break;
        }

        BootException error = Assert.Throws<BootException>(() => LinuxBootLoader.Load(_memory, Request(kernel)));

        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void CommandLineLongerThanTheKernelTakesIsRefused()
    {
        LinuxBootLoader.Load(_memory, Request(BzImage(), commandLine: new string('x', 2047)));

        BootException error = Assert.Throws<BootException>(() => LinuxBootLoader.Load(_memory, Request(BzImage(), commandLine: new string('x', 2048))));
        Assert.Equal("the kernel command line has 2048 bytes and kernel.img takes at most 2047", error.Message);
        Assert.Throws<BootException>(() => LinuxBootLoader.Load(_memory, Request(BzImage(), commandLine: "a\0b")));
    }

    [Fact]
    public void InitramfsThatMeetsTheKernelIsRefused()
    {
        int room = (int)(Ram - PreferredAddress - InitSize);
        LinuxBootLoader.Load(_memory, Request(BzImage(), new byte[room]));

        BootException error = Assert.Throws<BootException>(() => LinuxBootLoader.Load(_memory, Request(BzImage(), new byte[room + 1])));
        Assert.Contains("initramfs", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TooLittleMemoryIsSaidWithTheAmountNeeded()
    {
        using GuestMemory small = new(8 << 20);
        BootException error = Assert.Throws<BootException>(() => LinuxBootLoader.Load(small, Request(BzImage())));
        Assert.Equal("kernel.img needs memory up to 0x1000000 + 0x200000 to start, and the machine's ends at 0x800000: give it more memory", error.Message);
    }

    [Fact]
    public void FileNameWithLineBreaksStaysOneLine()
    {
        BootException error = Assert.Throws<BootException>(() => LinuxBootLoader.Load(_memory, Request([1]) with { KernelName = "a\nb\u001b[2J" }));
        Assert.Equal("a?b?[2J is not a bzImage: no HdrS signature at offset 0x202", error.Message);
    }

    [Fact]
    public void DetectTellsTheProtocolFromTheBytes()
    {
        Assert.Equal(BootProtocol.Linux, BootImageFormat.Detect(BzImage(), "k"));
        Assert.Equal(BootProtocol.Multiboot, BootImageFormat.Detect(MultibootElf(), "k"));
        Assert.Throws<BootException>(() => BootImageFormat.Detect(new byte[100], "k"));
        Assert.Throws<BootException>(() => BootImageFormat.Detect([], "k"));
    }

    private byte[] Read(ulong address, int bytes)
    {
        byte[] result = new byte[bytes];
        Assert.True(_memory.TryRead(new GuestPhysicalAddress(address), result));
        return result;
    }

    private ulong U64At(ulong address) => BinaryPrimitives.ReadUInt64LittleEndian(Read(address, 8));

    /// <summary>The processor's walk for 2 MiB pages; null where an entry is not present.</summary>
    private ulong? Walk(ulong cr3, ulong address)
    {
        ulong table = cr3;
        foreach (int shift in new[] { 39, 30 })
        {
            ulong entry = U64At(table + ((address >> shift) & 511) * 8);
            if ((entry & 3) != 3)
                return null;
            table = entry & ~0xfffUL;
        }

        ulong page = U64At(table + ((address >> 21) & 511) * 8);
        Assert.Equal(0x83UL, page & 0xfff);
        return (page & ~0x1f_ffffUL) | (address & 0x1f_ffff);
    }
}
