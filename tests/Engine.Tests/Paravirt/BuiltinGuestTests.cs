using Godwit.Engine.Machine;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Godwit.Engine.Paravirt.BuiltinGuest;
using Xunit;

namespace Godwit.Engine.Tests.Paravirt;

public sealed class BuiltinGuestTests
{
    private const ulong MiB = 1 << 20;

    [Fact]
    public void CommandLineIsReadIntoParameters()
    {
        BuiltinGuestParameters parameters = BuiltinGuestParameters.Parse(" working-set=64M rate=13000  verify=5 cooperate=off free=512K interval=10 ticks=7 corrupt=3");
        Assert.Equal(
            new BuiltinGuestParameters
            {
                WorkingSetPages = 16384,
                DirtyPagesPerSecond = 13000,
                VerifiedPagesPerSecond = 5,
                Cooperate = false,
                FreePages = 128,
                IntervalMilliseconds = 10,
                Ticks = 7,
                CorruptTick = 3,
            },
            parameters);
        Assert.Equal(new BuiltinGuestParameters(), BuiltinGuestParameters.Parse(""));
        Assert.Null(BuiltinGuestParameters.Parse("free=half").FreePages);
        Assert.Equal(0, BuiltinGuestParameters.Parse("free=none").FreePages);
    }

    [Theory]
    [InlineData("speed=1", "speed")]
    [InlineData("rate", "rate")]
    [InlineData("rate=", "rate=")]
    [InlineData("rate=-1", "rate=-1")]
    [InlineData("rate=1000000001", "rate=1000000001")]
    [InlineData("rate= 5", "rate=")]
    [InlineData("working-set=64", "working-set=64")]
    [InlineData("working-set=M", "working-set=M")]
    [InlineData("working-set=0M", "working-set=0M")]
    [InlineData("working-set=1K", "working-set=1K")]
    [InlineData("working-set=99999999999M", "working-set=99999999999M")]
    [InlineData("cooperate=yes", "cooperate=yes")]
    [InlineData("interval=0", "interval=0")]
    public void BadCommandLineIsRefusedInOneLineThatNamesThePart(string commandLine, string named)
    {
        MachineException refused = Assert.Throws<MachineException>(() => BuiltinGuestParameters.Parse(commandLine));
        Assert.Contains(named, refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', refused.Message);
    }

    [Theory]
    [InlineData("working-set=64M", 96 * MiB)]
    [InlineData("free=16M", 16 * MiB)]
    [InlineData("", MiB)]
    public void GuestThatDoesNotFitIsRefused(string commandLine, ulong ram)
    {
        BuiltinGuestParameters parameters = BuiltinGuestParameters.Parse(commandLine);
        MachineException refused = Assert.Throws<MachineException>(() => BuiltinGuestImage.Build(parameters, ram, 1_000_000_000));
        Assert.Contains($"has {ram / MiB} MiB", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void SameArgumentsGiveTheSameImage()
    {
        BuiltinGuestImage one = BuiltinGuestImage.Build(new BuiltinGuestParameters(), 64 * MiB, 1_000_000_000);
        BuiltinGuestImage two = BuiltinGuestImage.Build(new BuiltinGuestParameters(), 64 * MiB, 1_000_000_000);
        Assert.True(one.Bytes.Span.SequenceEqual(two.Bytes.Span));
    }

    [Theory]
    [InlineData(16 * MiB)]
    [InlineData(256 * MiB)]
    [InlineData(6 * 1024 * MiB)]
    public void PageTablesMapRamAndTheApicToThemselves(ulong ram)
    {
        BuiltinGuestImage image = BuiltinGuestImage.Build(new BuiltinGuestParameters { WorkingSetPages = 1, FreePages = 0 }, ram, 1_000_000_000);
        foreach (ulong address in new[] { 0ul, image.Entry.Value, ram - 1, 0xfee0_0000, 0xffff_ffff })
            Assert.Equal(address, Walk(image, address));
    }

    [Fact]
    public void EntryAndTablesLieWithinTheImage()
    {
        BuiltinGuestImage image = BuiltinGuestImage.Build(new BuiltinGuestParameters(), 64 * MiB, 1_000_000_000);
        ulong end = image.LoadAddress.Value + (ulong)image.Bytes.Length;
        Assert.Equal(0, image.LoadAddress.Offset);
        Assert.InRange(image.Entry.Value, image.LoadAddress.Value, end - 1);
        Assert.InRange(image.PageTables.Value, image.LoadAddress.Value, end - 4096);
        Assert.Equal(0, image.PageTables.Offset);
    }

    [Fact]
    public void LoaderPutsTheImageWhereItsEntrySays()
    {
        using GuestMemory memory = new(64 * MiB);
        BootEntry entry = BuiltinGuestLoader.Load(memory, "rate=5", 1_000_000_000);
        BuiltinGuestImage image = BuiltinGuestImage.Build(BuiltinGuestParameters.Parse("rate=5"), 64 * MiB, 1_000_000_000);
        byte[] loaded = new byte[image.Bytes.Length];
        Assert.True(memory.TryRead(image.LoadAddress, loaded));
        Assert.True(image.Bytes.Span.SequenceEqual(loaded));
        Assert.Equal((image.Entry.Value, image.PageTables.Value), (entry.Rip, entry.Cr3));
        Span<byte> descriptor = stackalloc byte[8];
        Assert.True(memory.TryRead(entry.Gdt + entry.CodeSelector, descriptor));
        Assert.Equal(entry.CodeDescriptor, BitConverter.ToUInt64(descriptor));
        Assert.True(memory.TryRead(entry.Gdt + entry.DataSelector, descriptor));
        Assert.Equal(entry.DataDescriptor, BitConverter.ToUInt64(descriptor));
    }

    private static ulong Walk(BuiltinGuestImage image, ulong address)
    {
        ulong Entry(ulong table, int shift)
        {
            ulong at = (table & 0x000f_ffff_ffff_f000) + (address >> shift & 511) * 8 - image.LoadAddress.Value;
            ulong entry = BitConverter.ToUInt64(image.Bytes.Span.Slice((int)at, 8));
            Assert.Equal(3ul, entry & 3);
            return entry;
        }

        ulong large = Entry(Entry(Entry(image.PageTables.Value, 39), 30), 21);
        Assert.NotEqual(0ul, large & 0x80);
        return (large & 0x000f_ffff_ffe0_0000) | address & 0x1f_ffff;
    }
}
