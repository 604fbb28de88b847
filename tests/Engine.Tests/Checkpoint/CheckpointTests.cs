using Godwit.Engine.Checkpoint;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Snapshot;
using Godwit.Engine.Tests.Migration;
using Godwit.Engine.Tests.Snapshot;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Checkpoint;

/// <summary>Chains of checkpoints of a machine that writes at the worst moments.</summary>
public sealed class CheckpointTests(ITestOutputHelper output) : IDisposable
{
    private readonly List<FakeMachine> _built = [];
    private readonly RunMonitor _monitor = new();

    [Fact]
    public async Task AfterEveryCheckpointTheChainGivesTheMachineAsItStoodStillWhateverWasNotKeptInBetween()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        FakeMachine machine = Running(seed, pages: 800);
        using CheckpointSource source = new(machine);
        List<(long Number, byte[] File)> chain = [];
        for (long number = 1; number <= 40; number++)
        {
            await DisturbAsync(machine, random);
            long kept = chain.Count == 0 ? 0 : chain[^1].Number;
            bool whole = random.Next(8) == 0;
            FailingStream file = new(random.Next(3) == 0 ? random.Next(200_000) : int.MaxValue);
            CheckpointReport report;
            try
            {
                report = await source.WriteAsync(new CheckpointRequest(number, kept, whole), running: true, file, default);
            }
            catch (IOException)
            {
                Assert.True(machine.IsRunning, "the guest must go on when its checkpoint cannot be written");
                continue;
            }
            if (random.Next(4) == 0)
                continue; // Written, and not kept by the host.
            if (whole)
                chain.Clear();
            chain.Add((number, file.ToArray()));
            FakeMachine restored = await ReadAsync([.. chain.Select(step => step.File)], report.Digest);
            Assert.Equal(machine.ConsoleEnd, restored.ConsoleEnd);
            Assert.Equal(report.ConsoleEnd, restored.ConsoleEnd);
            Assert.True(Expected(machine).AsSpan().SequenceEqual(restored.RamBytes()), $"checkpoint {number} of seed {seed} has other memory");
            restored.Dispose();
        }
    }

    [Fact]
    public async Task OnlyPagesChangedSinceAreWritten()
    {
        FakeMachine machine = Running(seed: 3, pages: 600);
        machine.StoresPerStep = 0;
        using CheckpointSource source = new(machine);
        CheckpointReport whole = await WriteAsync(source, 1, 0, new MemoryStream());
        machine.StoreTo(new PageNumber(17));
        machine.Memory.TryWrite(new PageNumber(900).Address, [1]);
        machine.Memory.Discard(new PageRange(new PageNumber(40), 1));
        CheckpointReport second = await WriteAsync(source, 2, 1, new MemoryStream());
        Assert.True(whole.Pages > 300, $"{whole.Pages} pages in the whole one");
        Assert.Equal((2, 1), (second.Pages, second.ZeroPages));
        Assert.InRange(second.Bytes, 2 * PageNumber.Size, 4 * PageNumber.Size);
    }

    [Fact]
    public async Task MoreThanIsCopiedAtStandstillIsWrittenAllTheSame()
    {
        FakeMachine machine = Build(FakeMachine.SmallSpec with { MemoryBytes = (ulong)(PageStage.MaxPages + 100) * PageNumber.Size });
        for (int page = 0; page < machine.Memory.PageCount; page++)
            machine.Memory.TryWrite(new PageNumber((ulong)page).Address, BitConverter.GetBytes(page + 1));
        using CheckpointSource source = new(machine);
        MemoryStream file = new();
        // Paused: everything is left to the standstill.
        CheckpointReport report = await source.WriteAsync(new CheckpointRequest(1, 0, false), running: false, file, default);
        FakeMachine restored = await ReadAsync([file.ToArray()], report.Digest);
        Assert.True(machine.RamBytes().AsSpan().SequenceEqual(restored.RamBytes()));
        Assert.Equal(TimeSpan.Zero, report.Pause);
    }

    [Fact]
    public async Task ACheckpointThatContinuesNoneOfTheLatestIsRefused()
    {
        FakeMachine machine = Running(seed: 1, pages: 10);
        using CheckpointSource source = new(machine);
        await Assert.ThrowsAsync<MachineException>(() => WriteAsync(source, 5, 4, new MemoryStream()));
        await WriteAsync(source, 6, 0, new MemoryStream());
        await WriteAsync(source, 7, 6, new MemoryStream());
        await WriteAsync(source, 8, 7, new MemoryStream());
        await Assert.ThrowsAsync<MachineException>(() => WriteAsync(source, 9, 6, new MemoryStream()));
        await Assert.ThrowsAsync<MachineException>(() => WriteAsync(source, 8, 0, new MemoryStream()));
        Assert.True(machine.IsRunning);

        // A host that has given up all that it kept begins with a whole one.
        MemoryStream anew = new();
        CheckpointReport report = await WriteAsync(source, 10, 0, anew);
        Assert.Equal(0, report.Since);
        FakeMachine restored = await ReadAsync([anew.ToArray()], report.Digest);
        Assert.True(Expected(machine).AsSpan().SequenceEqual(restored.RamBytes()));
    }

    [Fact]
    public async Task FilesMissingDoubledSwappedOrOfAnotherDigestAreRefused()
    {
        (byte[][] files, string digest) = await ThreeAsync(seed: 9);
        (byte[][] others, _) = await ThreeAsync(seed: 10);
        await AssertRefusedAsync([], digest);
        await AssertRefusedAsync([files[0], files[1]], digest);
        await AssertRefusedAsync([files[0], files[2]], digest);
        await AssertRefusedAsync([files[1], files[2]], digest);
        await AssertRefusedAsync([files[0], files[2], files[1]], digest);
        await AssertRefusedAsync([files[0], files[1], files[1], files[2]], digest);
        await AssertRefusedAsync([files[0], others[1], files[2]], digest);
        await AssertRefusedAsync([files[0], files[1], others[2]], digest);
        await AssertRefusedAsync(files, new string('0', 32));
        (await ReadAsync(files, digest)).Dispose();
    }

    [Fact]
    public async Task EveryDamagedOrMissingByteIsNoticed()
    {
        (byte[][] files, string digest) = await ThreeAsync(seed: 4, pages: 3);
        foreach (int which in (int[])[0, 1, 2])
        {
            byte[] file = files[which];
            IEnumerable<int> places = Enumerable.Range(0, file.Length / 211).Select(i => i * 211).Concat(SnapshotTests.Boundaries(file).Select(end => end - 1));
            foreach (int at in places.Where(at => at < file.Length))
            {
                byte[] damaged = [.. file];
                damaged[at] ^= (byte)(1 << (at % 8));
                await AssertRefusedAsync([.. files[..which], damaged, .. files[(which + 1)..]], digest);
                await AssertRefusedAsync([.. files[..which], file[..at], .. files[(which + 1)..]], digest);
            }
        }
    }

    public void Dispose()
    {
        foreach (FakeMachine machine in _built)
            machine.Dispose();
    }

    private static async Task DisturbAsync(FakeMachine machine, Random random)
    {
        machine.StoresPerStep = random.Next(60);
        machine.WorkingSet = random.Next(1, 1000);
        machine.Print($"line {random.Next()}; ");
        if (random.Next(3) == 0)
            machine.Memory.Discard(new PageRange(new PageNumber((ulong)random.Next(900)), random.Next(50)));
        if (random.Next(3) == 0)
        {
            // Like a guest in a hypercall: it stands still meanwhile.
            await machine.PauseAsync();
            machine.Memory.Dirty.DeclareFree([new PageRange(new PageNumber((ulong)random.Next(900)), random.Next(80))]);
            machine.Resume(TimeSpan.Zero);
        }
    }

    private static byte[] Expected(FakeMachine machine)
    {
        byte[] ram = machine.RamBytes();
        foreach (PageRange free in machine.Memory.Dirty.FreeRanges())
            ram.AsSpan((int)free.First.Address.Value, free.Count * PageNumber.Size).Clear();
        return ram;
    }

    private static Task<CheckpointReport> WriteAsync(CheckpointSource source, long number, long kept, Stream file) =>
        source.WriteAsync(new CheckpointRequest(number, kept, false), running: true, file, default);

    private async Task<(byte[][] Files, string Digest)> ThreeAsync(int seed, int pages = 50)
    {
        FakeMachine machine = Running(seed, pages);
        machine.StoresPerStep = 2;
        using CheckpointSource source = new(machine);
        List<byte[]> files = [];
        string digest = "";
        for (long number = 1; number <= 3; number++)
        {
            MemoryStream file = new();
            digest = (await WriteAsync(source, number, number - 1, file)).Digest;
            files.Add(file.ToArray());
        }
        await machine.PauseAsync();
        return ([.. files], digest);
    }

    private FakeMachine Build(MachineSpec spec)
    {
        _built.Add(new FakeMachine(spec, _monitor));
        return _built[^1];
    }

    private FakeMachine Running(int seed, int pages)
    {
        FakeMachine machine = new(FakeMachine.SmallSpec, _monitor, seed);
        _built.Add(machine);
        machine.Fill(pages);
        return machine;
    }

    private async Task<FakeMachine> ReadAsync(IReadOnlyList<byte[]> files, string digest) =>
        (FakeMachine)await CheckpointReader.ReadAsync([.. files.Select(file => new MemoryStream(file))], digest, Build, default);

    private async Task AssertRefusedAsync(IReadOnlyList<byte[]> files, string digest)
    {
        int before = _built.Count;
        SnapshotException error = await Assert.ThrowsAsync<SnapshotException>(() => ReadAsync(files, digest));
        Assert.DoesNotContain('\n', error.Message);
        Assert.All(_built.Skip(before), machine => Assert.True(machine.Disposed, error.Message));
    }

    /// <summary>A file on a disk that is full after so many bytes.</summary>
    private sealed class FailingStream(int room) : MemoryStream
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) =>
            Length + buffer.Length > room ? throw new IOException("No space left on device") : base.WriteAsync(buffer, cancellationToken);
    }
}
