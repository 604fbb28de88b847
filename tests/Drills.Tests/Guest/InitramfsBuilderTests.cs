using System.Globalization;
using System.IO.Compression;
using System.Text;
using Godwit.Cli.Guest;
using Xunit;

namespace Godwit.Drills.Tests.Guest;

public sealed class InitramfsBuilderTests
{
    private static readonly byte[] Busybox = DebianArchive.Busybox();

    [Fact]
    public void SameInputGivesTheSameBytes()
    {
        InitramfsFile extra = new("bin/workload", new byte[] { 1, 2, 3 }, Executable: true);
        Assert.Equal(InitramfsBuilder.Build(Busybox, [extra]), InitramfsBuilder.Build(Busybox, [extra]));
        Assert.NotEqual(InitramfsBuilder.Build(Busybox, [extra]), InitramfsBuilder.Build(Busybox, []));
    }

    [Fact]
    public void ArchiveHoldsInitBusyboxConsoleAndExtraFiles()
    {
        byte[] workload = [.. Enumerable.Range(0, 1001).Select(i => (byte)i)];
        Dictionary<string, Entry> entries = Read(InitramfsBuilder.Build(Busybox, [new("bin/workload", workload, true), new("etc/motd", new byte[] { 65 }, false)]));

        Assert.Equal(0x81ed, entries["init"].Mode);
        Assert.StartsWith("#!/bin/busybox sh\n", Encoding.UTF8.GetString(entries["init"].Content), StringComparison.Ordinal);
        Assert.DoesNotContain("\r", Encoding.UTF8.GetString(entries["init"].Content), StringComparison.Ordinal);
        Assert.Equal(0x81ed, entries["bin/busybox"].Mode);
        Assert.Equal(Busybox, entries["bin/busybox"].Content);
        Assert.Equal((0xa1ff, "busybox"), (entries["bin/sh"].Mode, Encoding.UTF8.GetString(entries["bin/sh"].Content)));
        Assert.Equal((0x2180, 5, 1), (entries["dev/console"].Mode, entries["dev/console"].DeviceMajor, entries["dev/console"].DeviceMinor));
        Assert.Equal(0x81ed, entries["bin/workload"].Mode);
        Assert.Equal(workload, entries["bin/workload"].Content);
        Assert.Equal(0x81a4, entries["etc/motd"].Mode);
        Assert.All((string[])["proc", "sys", "dev", "tmp", "root"], folder => Assert.Equal(0x41ed, entries[folder].Mode));
    }

    [Fact]
    public void FoldersComeBeforeWhatIsInThem()
    {
        // The kernel's unpacker makes no missing folders.
        List<string> order = [.. Read(InitramfsBuilder.Build(Busybox, [new("bin/workload", new byte[] { 1 }, true), new("usr/lib/deep/a", new byte[] { 2 }, false), new("usr/lib/b", new byte[] { 3 }, false)])).Keys];
        Assert.All(order.Where(n => n.Contains('/', StringComparison.Ordinal)), name => Assert.InRange(order.IndexOf(name[..name.LastIndexOf('/')]), 0, order.IndexOf(name) - 1));
        Assert.Equal(order.Distinct(), order);
    }

    private sealed record Entry(int Mode, byte[] Content, int DeviceMajor, int DeviceMinor);

    /// <summary>A reader of "newc" as the kernel's documentation describes it, independent of the writer.</summary>
    private static Dictionary<string, Entry> Read(byte[] image)
    {
        using GZipStream gzip = new(new MemoryStream(image), CompressionMode.Decompress);
        using MemoryStream plain = new();
        gzip.CopyTo(plain);
        byte[] archive = plain.ToArray();
        Assert.Equal(0, archive.Length % 512);
        Dictionary<string, Entry> entries = [];
        int at = 0;
        while (true)
        {
            Assert.Equal("070701", Encoding.ASCII.GetString(archive, at, 6));
            int[] fields = [.. Enumerable.Range(0, 13).Select(i => int.Parse(Encoding.ASCII.GetString(archive, at + 6 + i * 8, 8), NumberStyles.HexNumber, CultureInfo.InvariantCulture))];
            string name = Encoding.UTF8.GetString(archive, at + 110, fields[11] - 1);
            Assert.Equal(0, archive[at + 110 + fields[11] - 1]);
            int content = Align(at + 110 + fields[11]);
            at = Align(content + fields[6]);
            if (name == "TRAILER!!!")
                break;
            entries.Add(name, new Entry(fields[1], archive[content..(content + fields[6])], fields[9], fields[10]));
        }

        Assert.All(archive[at..], b => Assert.Equal(0, b));
        return entries;
    }

    private static int Align(int offset) => (offset + 3) & ~3;
}
