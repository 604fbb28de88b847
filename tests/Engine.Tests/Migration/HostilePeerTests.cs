using System.Buffers.Binary;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Migration;

/// <summary>A peer that sends anything at all: one clear error, nothing left behind, the source runs.</summary>
public sealed class HostilePeerTests(ITestOutputHelper output)
{
    private static readonly byte[] s_hello = [.. "GODWITMG"u8, 1, 0, 1, 0];

    [Fact]
    public async Task RandomBytesEndInAnErrorOnEitherSide()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        for (int i = 0; i < 40; i++)
        {
            byte[] bytes = new byte[random.Next(1, 3000)];
            random.NextBytes(bytes);
            bytes[0] = (byte)random.Next(1, 22);
            if (random.Next(2) == 0)
                bytes.AsSpan(3, Math.Min(2, Math.Max(0, bytes.Length - 3))).Clear();

            using MoveRig target = new();
            await target.Link.Source.WriteAsync(bytes);
            await target.Link.Source.DisposeAsync();
            await target.RunTargetAsync(new MigrationOptions());
            Assert.DoesNotContain('\n', Assert.IsType<MigrationFailedException>(target.TargetError).Message);

            using MoveRig source = new();
            await source.Link.Target.WriteAsync(bytes);
            await source.Link.Target.DisposeAsync();
            await source.RunSourceAsync(new MigrationOptions());
            source.AssertExactlyOneRuns();
        }
    }

    [Fact]
    public async Task AnyByteOfTheSourcesStreamChangedEndsWithExactlyOneRunning()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        int refused = 0;
        for (int i = 0; i < 60; i++)
        {
            using MoveRig rig = new(seed: 3, pages: 60);
            rig.Source.StoresPerStep = 2;
            rig.Source.WorkingSet = 60;
            int frame = random.Next(20);
            rig.Link.Source.Tamper = (number, bytes) => number == frame ? Flip(bytes, random) : bytes;
            await rig.MoveAsync(new MigrationOptions { VerifyAllMemory = true, SilenceLimit = TimeSpan.FromMilliseconds(150) });
            Assert.False(rig.Monitor.Overlapped);
            Assert.Equal(1, rig.Monitor.Running);
            if (rig.Authority.Owner == "B")
                rig.AssertSameMemory();
            else
                refused++;
        }
        Assert.True(refused > 20, $"{refused} refused");
    }

    public static TheoryData<string, byte, byte[]> BadFramesWhileCopying => new()
    {
        { "page 0x400 of a machine with 0x400 pages", 7, [0, 4, 0, 0, 0] },
        { "page 0xffffffff of a machine", 7, [255, 255, 255, 255, 1] },
        { "a page is cut short", 7, [1, 0, 0, 0, 1, 9] },
        { "a page entry is cut short", 7, [1, 0, 0] },
        { "unknown page encoding 2", 7, [1, 0, 0, 0, 2] },
        { "RoundEnd of 3 bytes out of place", 8, [1, 2, 3] },
        { "Free of 8 bytes out of place", 11, [0, 0, 0, 0, 1, 0, 0, 0] },
        { "StateBegin of 4 bytes out of place", 12, [1, 0, 0, 0] },
        { "StateChunk of 1 bytes out of place", 13, [1] },
        { "Final of 49 bytes out of place", 14, new byte[49] },
        { "Running of 32 bytes out of place", 18, new byte[32] },
        { "Hello of 12 bytes out of place", 1, new byte[12] },
        { "the other side gave up: bored", 21, [.. "bored"u8] },
    };

    [Theory]
    [MemberData(nameof(BadFramesWhileCopying))]
    public Task ABadFrameWhileCopyingIsNamed(string error, byte type, byte[] payload) => AssertTargetSaysAsync(error, [], type, payload);

    public static TheoryData<string, byte, byte[]> BadFramesAfterTheStop => new()
    {
        { "Stopping of 0 bytes out of place", 10, [] },
        { "free pages 0x3ff, 2 of them", 11, [255, 3, 0, 0, 2, 0, 0, 0] },
        { "free pages 0x1, 4294967295 of them", 11, [1, 0, 0, 0, 255, 255, 255, 255] },
        { "free pages 0x5, 0 of them", 11, [5, 0, 0, 0, 0, 0, 0, 0] },
        { "free pages 0x4, 1 of them", 11, [5, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0] },
        { "a range of free pages is cut short", 11, [5, 0, 0] },
        { "67108865 bytes of state", 12, [1, 0, 0, 4] },
        { "RoundEnd of 4 bytes out of place", 8, [1, 0, 0, 0] },
    };

    [Theory]
    [MemberData(nameof(BadFramesAfterTheStop))]
    public Task ABadFrameAfterTheStopIsNamed(string error, byte type, byte[] payload) =>
        AssertTargetSaysAsync(error, [(FrameType.Stopping, [])], type, payload);

    [Fact]
    public Task MoreStateThanAnnouncedIsRefused() =>
        AssertTargetSaysAsync("StateChunk of 5 bytes out of place", [(FrameType.Stopping, []), (FrameType.StateBegin, [4, 0, 0, 0])], 13, new byte[5]);

    [Fact]
    public Task AFinalWithoutItsStateIsRefused() =>
        AssertTargetSaysAsync("Final of 49 bytes out of place", [(FrameType.Stopping, []), (FrameType.StateBegin, [4, 0, 0, 0])], 14, new byte[49]);

    [Fact]
    public async Task AStateWhoseDigestIsWrongIsRefused()
    {
        byte[] state = StateSections.Encode([]);
        byte[] final = new FinalFrame(new PageHashTree(1024).Root(), 1, false, false, TimeSpan.Zero, TimeSpan.Zero).Encode();
        await AssertTargetSaysAsync("state arrived damaged", [(FrameType.Stopping, []), (FrameType.StateBegin, [4, 0, 0, 0]), (FrameType.StateChunk, state)], 14, final);
    }

    [Fact]
    public async Task MemoryWhoseRootIsWrongIsRefused()
    {
        byte[] state = StateSections.Encode([]);
        byte[] final = new FinalFrame(7, System.IO.Hashing.XxHash128.HashToUInt128(state), false, false, TimeSpan.Zero, TimeSpan.Zero).Encode();
        await AssertTargetSaysAsync("memory that arrived is not what the source sent", [(FrameType.Stopping, []), (FrameType.StateBegin, [4, 0, 0, 0]), (FrameType.StateChunk, state)], 14, final);
    }

    [Fact]
    public async Task AnUnknownProtocolVersionIsRefusedBothWays()
    {
        using MoveRig target = new();
        await SendAsync(target.Link.Source, FrameType.Hello, [.. "GODWITMG"u8, 2, 0, 9, 0]);
        await target.RunTargetAsync(new MigrationOptions());
        Assert.Contains("migration protocol 2 to 9 is offered, 1 is spoken here", target.TargetError!.Message);

        using MoveRig source = new();
        await SendAsync(source.Link.Target, FrameType.Hello, [.. "GODWITMG"u8, 2, 0, 2, 0]);
        await source.RunSourceAsync(new MigrationOptions());
        Assert.Contains("does not speak version 1", source.SourceError!.Message);
        source.AssertExactlyOneRuns();
    }

    public static TheoryData<string, MachineSpec> BadSpecs => new()
    {
        { "4095 bytes of memory", FakeMachine.SmallSpec with { MemoryBytes = 4095 } },
        { "0 bytes of memory", FakeMachine.SmallSpec with { MemoryBytes = 0 } },
        { "18446744073709547520 bytes of memory", FakeMachine.SmallSpec with { MemoryBytes = ulong.MaxValue - 4095 } },
        { "-1 vCPUs", FakeMachine.SmallSpec with { VcpuCount = -1 } },
        { "unknown CPU level 77", FakeMachine.SmallSpec with { CpuLevel = (CpuLevel)77 } },
        { "unknown clock mode 9", FakeMachine.SmallSpec with { Clock = (ClockMode)9 } },
        { "a TSC of 0 Hz", FakeMachine.SmallSpec with { TscHz = 0 } },
        { "no boot source", FakeMachine.SmallSpec with { Boot = null! } },
        { "no boot source", FakeMachine.SmallSpec with { Boot = FakeMachine.SmallSpec.Boot with { CommandLine = null! } } },
        { "too long", FakeMachine.SmallSpec with { Boot = FakeMachine.SmallSpec.Boot with { CommandLine = new string('x', 70_000) } } },
    };

    [Theory]
    [MemberData(nameof(BadSpecs))]
    public async Task AnImpossibleMachineIsRefused(string error, MachineSpec spec)
    {
        using MoveRig rig = new();
        await GreetAsync(rig);
        await SendAsync(rig.Link.Source, FrameType.Offer, new Offer(false, null, spec).Encode());
        await rig.RunTargetAsync(new MigrationOptions());
        Assert.Contains(error, rig.TargetError!.Message);
        Assert.Null(rig.Target);
    }

    [Fact]
    public async Task ATargetThatOnlySaysItRunsIsNotBelieved()
    {
        using MoveRig rig = new();
        // Everything a target says, and no compare-and-swap.
        await Task.WhenAll(
            rig.RunSourceAsync(new MigrationOptions()),
            Task.Run(() => LieAsync(rig.Link.Target)));
        rig.AssertExactlyOneRuns();
        Assert.Equal("A", rig.Authority.Owner);
        Assert.Contains("without having committed", rig.SourceError!.Message);
    }

    private static async Task LieAsync(MemoryLink.End stream)
    {
        await using FrameLink link = new(stream, TimeSpan.FromSeconds(10));
        bool final = false;
        while (!final)
        {
            using Frame frame = await link.ReceiveAsync(CancellationToken.None);
            byte[] payload = frame.Payload.ToArray();
            final = frame.Type == FrameType.Final;
            await (frame.Type switch
            {
                FrameType.Hello => link.SendAsync(FrameType.Hello, payload, CancellationToken.None),
                FrameType.Ping => link.SendAsync(FrameType.Pong, payload, CancellationToken.None),
                FrameType.Offer => link.SendAsync(FrameType.Accept, CancellationToken.None),
                FrameType.RoundEnd => link.SendAsync(FrameType.RoundAck, payload, CancellationToken.None),
                _ => Task.CompletedTask,
            });
        }
        await link.SendAsync(FrameType.Verified, CancellationToken.None);
        await link.SendAsync(FrameType.Committed, new byte[] { 2, 0, 0, 0, 0, 0, 0, 0 }, CancellationToken.None);
        await link.SendAsync(FrameType.Running, new RunningFrame(2, TimeSpan.Zero, TimeSpan.Zero, TimeSpan.Zero).Encode(), CancellationToken.None);
        LinkException end = await Assert.ThrowsAsync<LinkException>(async () => await link.ReceiveAsync(CancellationToken.None));
        Assert.Contains("without having committed", end.Message);
    }

    private static async Task AssertTargetSaysAsync(string error, (FrameType Type, byte[] Payload)[] before, byte type, byte[] payload)
    {
        using MoveRig rig = new();
        await GreetAsync(rig);
        await SendAsync(rig.Link.Source, FrameType.Offer, new Offer(false, null, FakeMachine.SmallSpec).Encode());
        foreach ((FrameType Type, byte[] Payload) frame in before)
            await SendAsync(rig.Link.Source, frame.Type, frame.Payload);
        await SendAsync(rig.Link.Source, (FrameType)type, payload);
        await rig.RunTargetAsync(new MigrationOptions());
        MigrationFailedException failure = Assert.IsType<MigrationFailedException>(rig.TargetError);
        Assert.Contains(error, failure.Message);
        Assert.True(failure.SourceRuns);
        Assert.True(rig.Target!.Disposed);
    }

    private static async Task GreetAsync(MoveRig rig)
    {
        await SendAsync(rig.Link.Source, FrameType.Hello, s_hello);
        for (byte i = 0; i < Wire.Pings; i++)
            await SendAsync(rig.Link.Source, FrameType.Ping, [i, 0, 0, 0]);
    }

    private static async Task SendAsync(MemoryLink.End stream, FrameType type, byte[] payload)
    {
        byte[] frame = [(byte)type, 0, 0, 0, 0, .. payload];
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(1), payload.Length);
        await stream.WriteAsync(frame);
    }

    private static byte[] Flip(byte[] bytes, Random random)
    {
        bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
        return bytes;
    }
}
