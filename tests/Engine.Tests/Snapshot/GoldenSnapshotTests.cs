using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Snapshot;
using Godwit.Engine.Tests.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Snapshot;

/// <summary>
/// Files that earlier versions wrote. They stay readable, none is ever changed, and their number only grows: a new
/// format adds a file and a line here.
/// </summary>
public sealed class GoldenSnapshotTests
{
    // What every file holds: 1 MiB with a byte in page n for each n here, and a console that says so.
    private static readonly ulong[] s_pages = [0, 1, 2, 40, 255];

    [Theory]
    [InlineData("v1-raw.godwit")]
    [InlineData("v1-brotli.godwit")]
    public async Task AGoldenFileIsReadable(string name)
    {
        await using FileStream file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Snapshot", "golden", name));
        using FakeMachine machine = (FakeMachine)await SnapshotReader.ReadAsync(file, spec => new FakeMachine(spec, new RunMonitor()), default);
        AssertGolden(machine);
    }

    [Fact]
    public async Task WhatIsWrittenTodayReadsLikeTheGoldenFiles()
    {
        using FakeMachine machine = new(Spec(), new RunMonitor());
        foreach (ulong page in s_pages)
            machine.Memory.TryWrite(new PageNumber(page).Address, Contents(page));
        machine.Print("golden\n");
        machine.LetTimePass(TimeSpan.FromSeconds(3));
        foreach (RamEncoding encoding in (RamEncoding[])[RamEncoding.Raw, RamEncoding.Brotli])
        {
            MemoryStream file = new();
            await SnapshotWriter.WriteAsync(machine, file, default, encoding);
            if (Environment.GetEnvironmentVariable("GODWIT_GOLDEN") is { } folder)
                await File.WriteAllBytesAsync(Path.Combine(folder, $"v{SnapshotFormat.Snapshot.Version}-{encoding.ToString().ToLowerInvariant()}.godwit"), file.ToArray());
            file.Position = 0;
            using FakeMachine restored = (FakeMachine)await SnapshotReader.ReadAsync(file, spec => new FakeMachine(spec, new RunMonitor()), default);
            AssertGolden(restored);
        }
    }

    private static MachineSpec Spec() => FakeMachine.SmallSpec with
    {
        MemoryBytes = 1 << 20,
        Boot = new BootSource { Protocol = BootProtocol.Linux, Kernel = "kernel", Initrd = "initrd", CommandLine = "console=ttyS0" },
    };

    private static byte[] Contents(ulong page) => [.. Enumerable.Range(0, PageNumber.Size).Select(i => (byte)((ulong)i * (2 * page + 1)))];

    private static void AssertGolden(FakeMachine machine)
    {
        Assert.Equal(Spec(), machine.Spec);
        Assert.Equal(3_000_000_000UL, machine.GuestNanoseconds);
        Assert.Equal(7, machine.ConsoleEnd);
        Assert.Equal(s_pages, Enumerable.Range(0, 256).Select(page => (ulong)page).Where(page => machine.Memory.IsAllocated(new PageNumber(page))));
        byte[] bytes = new byte[PageNumber.Size];
        foreach (ulong page in s_pages)
        {
            machine.Memory.TryRead(new PageNumber(page).Address, bytes);
            Assert.Equal(Contents(page), bytes);
        }
    }
}
