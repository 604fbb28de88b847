using System.Buffers.Binary;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Snapshot;
using Godwit.Engine.Tests.Migration;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Snapshot;

public sealed class SnapshotTests(ITestOutputHelper output) : IDisposable
{
    private readonly List<FakeMachine> _built = [];
    private readonly RunMonitor _monitor = new();

    [Theory]
    [InlineData(RamEncoding.Raw)]
    [InlineData(RamEncoding.Brotli)]
    public async Task AMachineComesBackWhole(RamEncoding encoding)
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        FakeMachine machine = await PausedAsync(seed, pages: 700);
        byte[] file = await WriteAsync(machine, encoding);
        FakeMachine restored = await ReadAsync(file);

        Assert.Equal(machine.Spec, restored.Spec);
        Assert.Equal(machine.GuestNanoseconds, restored.GuestNanoseconds);
        Assert.Equal(machine.ConsoleEnd, restored.ConsoleEnd);
        Assert.True(machine.RamBytes().AsSpan().SequenceEqual(restored.RamBytes()));
        Assert.Equal(StateSections.Digest(machine.SaveState()), StateSections.Digest(restored.SaveState()));
        Assert.False(restored.IsRunning);
    }

    [Fact]
    public async Task OnlyPagesWithSomethingInThemAreStoredAndAllocated()
    {
        FakeMachine machine = await PausedAsync(seed: 1, pages: 300);
        machine.Memory.Dirty.DeclareFree([new PageRange(new PageNumber(250), 20)]);
        byte[] file = await WriteAsync(machine);
        FakeMachine restored = await ReadAsync(file);

        byte[] ram = machine.RamBytes();
        ram.AsSpan(250 * PageNumber.Size, 20 * PageNumber.Size).Clear();
        int stored = Enumerable.Range(0, machine.Memory.PageCount).Count(page => ram.AsSpan(page * PageNumber.Size, PageNumber.Size).ContainsAnyExcept((byte)0));
        Assert.True(ram.AsSpan().SequenceEqual(restored.RamBytes()));
        Assert.Equal(stored * PageNumber.Size, restored.Memory.ResidentBytes);
        Assert.InRange(file.Length, stored * PageNumber.Size, stored * PageNumber.Size + 16_000);
    }

    [Fact]
    public async Task PagesThatCompressAreStoredCompressed()
    {
        FakeMachine machine = Build(FakeMachine.SmallSpec);
        for (int page = 0; page < 512; page++)
            machine.Memory.TryWrite(new PageNumber((ulong)page).Address, "the same on every page"u8);
        byte[] raw = await WriteAsync(machine), packed = await WriteAsync(machine, RamEncoding.Brotli);
        Assert.True(packed.Length * 10 < raw.Length);
        FakeMachine restored = await ReadAsync(packed);
        Assert.True(machine.RamBytes().AsSpan().SequenceEqual(restored.RamBytes()));
    }

    [Fact]
    public async Task WhatBuildingLeftInMemoryIsGone()
    {
        byte[] file = await WriteAsync(Build(FakeMachine.SmallSpec));
        IMigratableMachine restored = await SnapshotReader.ReadAsync(new MemoryStream(file), spec => BuildWith(spec, 9), default);
        Assert.Equal(0, restored.Memory.ResidentBytes);
    }

    [Fact]
    public async Task EveryDamagedByteIsNoticed()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        for (int at = 0; at < file.Length; at += at < 600 || at > file.Length - 100 ? 1 : 41)
        {
            byte[] damaged = [.. file];
            damaged[at] ^= (byte)(1 << (at % 8));
            await AssertRefusedAsync(damaged, $"byte {at} of {file.Length} changed");
        }
    }

    [Fact]
    public async Task EveryTruncationIsNoticed()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        IEnumerable<int> lengths = Boundaries(file).SelectMany(end => new[] { end - 1, end, end + 1 })
            .Concat(Enumerable.Range(0, file.Length / 97).Select(i => i * 97));
        foreach (int length in lengths.Where(length => length >= 0 && length < file.Length).Distinct())
            await AssertRefusedAsync(file[..length], $"cut to {length} of {file.Length}");
    }

    [Fact]
    public async Task SectionsLeftOutDoubledOrSwappedAreNoticed()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        int[] ends = Boundaries(file);
        for (int i = 1; i < ends.Length; i++)
        {
            await AssertRefusedAsync([.. file[..ends[i - 1]], .. file[ends[i]..]], $"section {i} left out");
            await AssertRefusedAsync([.. file[..ends[i]], .. file[ends[i - 1]..]], $"section {i} doubled");
            if (i + 1 < ends.Length)
                await AssertRefusedAsync([.. file[..ends[i - 1]], .. file[ends[i]..ends[i + 1]], .. file[ends[i - 1]..ends[i]], .. file[ends[i + 1]..]], $"section {i} swapped");
        }
    }

    [Fact]
    public async Task BytesAfterTheEndAreRefused()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        Assert.Equal("snapshot: there is more after its end", await AssertRefusedAsync([.. file, 0], "one byte more"));
    }

    [Fact]
    public async Task ForeignFilesAreRefused()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        Assert.Equal("snapshot: the file is cut short", await AssertRefusedAsync([], "empty"));
        Assert.Equal("this is not a Godwit snapshot", await AssertRefusedAsync("\x7fELF and so on and on"u8.ToArray(), "an ELF"));
        for (int i = 0; i < 300; i++)
        {
            byte[] bytes = new byte[random.Next(1000)];
            random.NextBytes(bytes);
            await AssertRefusedAsync(bytes, "random");
            await AssertRefusedAsync([.. "GODWITSS"u8, 1, 0, .. bytes], "random after the magic");
        }
    }

    public static TheoryData<string, string, bool, byte[]> BadSections => new()
    {
        { "section 'disk' is unknown to this version", "disk", true, [1] },
        { "section 'ram' of 1048586 bytes, at most 1048585", "ram", true, new byte[1_048_586] },
        { "section 'note' of 1048577 bytes, at most 1048576", "note", false, new byte[1_048_577] },
        { "memory is cut short", "ram", true, new byte[8] },
        { "0 pages at 0x0 do not fit", "ram", true, new byte[9] },
        { "1 pages at 0x400 do not fit", "ram", true, [0, 0, 4, 0, 0, 1, 0, 0, 0, .. new byte[4096]] },
        { "257 pages at 0x0 do not fit", "ram", true, [0, 0, 0, 0, 0, 1, 1, 0, 0, .. new byte[4096]] },
        { "1 pages at 0x0 do not fit", "ram", true, [0, 0, 0, 0, 0, 1, 0, 0, 0, .. new byte[4096]] },
        { "memory is damaged", "ram", true, [0, 255, 3, 0, 0, 1, 0, 0, 0, .. new byte[4095]] },
        { "memory is damaged", "ram", true, [1, 255, 3, 0, 0, 1, 0, 0, 0, .. new byte[40]] },
        { "memory encoding 2 is unknown", "ram", true, [2, 255, 3, 0, 0, 1, 0, 0, 0, .. new byte[40]] },
        { "section 'state/vcpu0' is there twice", "state/vcpu0", true, [1] },
        { "vcpu0: no such state", "state/extra", true, [1] },
        { "section 'end' of 1 bytes", "end", true, [1] },
    };

    [Theory]
    [MemberData(nameof(BadSections))]
    public async Task ABadSectionIsNamed(string error, string tag, bool critical, byte[] payload)
    {
        byte[] file = await WriteAsync(await SmallAsync());
        Assert.Contains(error, await AssertRefusedAsync(WithSection(file, tag, critical, payload), tag));
    }

    [Fact]
    public async Task AnUnknownSectionThatIsNotCriticalIsSkipped()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        FakeMachine restored = await ReadAsync(WithSection(file, "note", false, [1, 2, 3]));
        Assert.True(restored.Memory.ResidentBytes > 0);
    }

    [Fact]
    public async Task AnotherFormatVersionIsRefused()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        file[8] = 2;
        Assert.Equal("snapshot format 2 is unknown to this version of Godwit, which reads 1", await AssertRefusedAsync(file, "version 2"));
    }

    [Fact]
    public async Task WhatTheBuilderThrowsIsTheReason()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        SnapshotException error = await Assert.ThrowsAsync<SnapshotException>(() =>
            SnapshotReader.ReadAsync(new MemoryStream(file), _ => throw new MachineException("no room for 1 MiB\nhere"), default));
        Assert.Equal("snapshot: no room for 1 MiB", error.Message);
    }

    [Fact]
    public async Task ACancelledRestoreLeavesNothing()
    {
        byte[] file = await WriteAsync(await SmallAsync());
        using CancellationTokenSource cancelled = new();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() =>
            SnapshotReader.ReadAsync(new MemoryStream(file), spec => CancelAndBuild(spec, cancelled), cancelled.Token));
        Assert.True(_built[^1].Disposed);
    }

    public void Dispose()
    {
        foreach (FakeMachine machine in _built)
            machine.Dispose();
    }

    internal static byte[] WithSection(byte[] file, string tag, bool critical, byte[] payload)
    {
        // In front of the end, which is made anew: its checksum counts the sections.
        int[] ends = Boundaries(file);
        byte[] header = SnapshotFormat.SectionHeader(tag, critical, payload.Length);
        byte[] end = SnapshotFormat.SectionHeader(SnapshotFormat.End, true, 0);
        uint number = (uint)(ends.Length - 2);
        return [.. file[..ends[^2]], .. header, .. payload, .. Checksum(number, header, payload), .. end, .. Checksum(number + 1, end, [])];
    }

    /// <summary>Where the magic and each section end.</summary>
    internal static int[] Boundaries(byte[] file)
    {
        List<int> ends = [SnapshotFormat.Snapshot.Magic.Length + 2];
        while (ends[^1] < file.Length)
        {
            int at = ends[^1];
            int length = BinaryPrimitives.ReadInt32LittleEndian(file.AsSpan(at + 1 + file[at] + 1));
            ends.Add(at + 1 + file[at] + 1 + 4 + length + SnapshotFormat.ChecksumBytes);
        }
        return [.. ends];
    }

    private static byte[] Checksum(uint number, byte[] header, byte[] payload)
    {
        byte[] bytes = new byte[16];
        BinaryPrimitives.WriteUInt128LittleEndian(bytes, SnapshotFormat.Checksum(number, header, payload));
        return bytes;
    }

    private static async Task<byte[]> WriteAsync(FakeMachine machine, RamEncoding encoding = RamEncoding.Raw)
    {
        MemoryStream file = new();
        await SnapshotWriter.WriteAsync(machine, file, default, encoding);
        return file.ToArray();
    }

    private FakeMachine Build(MachineSpec spec)
    {
        _built.Add(new FakeMachine(spec, _monitor));
        return _built[^1];
    }

    private FakeMachine BuildWith(MachineSpec spec, ulong page)
    {
        FakeMachine machine = Build(spec);
        machine.Memory.TryWrite(new PageNumber(page).Address, [1]);
        return machine;
    }

    private FakeMachine CancelAndBuild(MachineSpec spec, CancellationTokenSource source)
    {
        source.Cancel();
        return Build(spec);
    }

    private async Task<FakeMachine> PausedAsync(int seed, int pages)
    {
        FakeMachine machine = new(FakeMachine.SmallSpec, _monitor, seed);
        _built.Add(machine);
        machine.Fill(pages);
        await machine.PauseAsync();
        return machine;
    }

    // Three runs of pages and some state: a few sections of every kind.
    private async Task<FakeMachine> SmallAsync()
    {
        FakeMachine machine = await PausedAsync(seed: 4, pages: 0);
        foreach (ulong page in (ulong[])[0, 7, 8, 500])
            machine.Memory.TryWrite(new PageNumber(page).Address, "some bytes"u8);
        return machine;
    }

    private async Task<FakeMachine> ReadAsync(byte[] file) =>
        (FakeMachine)await SnapshotReader.ReadAsync(new MemoryStream(file), Build, default);

    private async Task<string> AssertRefusedAsync(byte[] file, string what)
    {
        int before = _built.Count;
        Exception? error = await Record.ExceptionAsync(() => ReadAsync(file));
        Assert.True(error is SnapshotException, $"{what}: {error?.ToString() ?? "accepted"}");
        Assert.DoesNotContain('\n', error!.Message);
        Assert.All(_built.Skip(before), machine => Assert.True(machine.Disposed, $"{what}: the machine was left"));
        return error.Message;
    }
}
