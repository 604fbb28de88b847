using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Paravirt;
using MessagePack;
using Xunit;

namespace Godwit.Engine.Tests.Paravirt;

public sealed class HypercallsTests : IDisposable
{
    private const ulong Ram = 1 << 20;
    private const byte Vector = 0x31;

    private readonly GuestMemory _memory = new(Ram);
    private readonly RecordingSink _sink = new();
    private readonly FakeVcpu _vcpu = new();
    private readonly List<byte> _raised = [];
    private readonly List<PageRange> _freed = [];
    private readonly Hypercalls _calls;

    public HypercallsTests()
    {
        _calls = new Hypercalls(new Lock(), _memory, _raised.Add, _sink);
        _calls.AttachVcpu(_vcpu);
        _calls.PagesFreed += _freed.AddRange;
    }

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void FeaturesNamesEveryCallThatIsThereAndNoOther()
    {
        ulong features = (ulong)Call(HypercallNumber.Features);
        for (uint number = 0; number < 64; number++)
        {
            bool known = Call((HypercallNumber)number) != HypercallError.Unknown;
            Assert.True(known == ((features >> (int)number & 1) != 0), $"hypercall {number}");
        }
    }

    [Fact]
    public void OnlyTheLow32BitsOfRaxAreTheNumber()
    {
        _vcpu.Rax = 0xdead_beef_0000_0000 | (uint)HypercallNumber.Features;
        Assert.Equal(HypercallOutcome.Completed, _calls.Call(_vcpu));
        Assert.Equal(GodwitInterface.Features, _vcpu.Rax);
    }

    [Theory]
    [InlineData(HypercallNumber.Subscribe)]
    [InlineData(HypercallNumber.FreePages)]
    [InlineData(HypercallNumber.ConsoleWrite)]
    public void CallsThatNamePhysicalAddressesAreTheKernelsAlone(HypercallNumber number)
    {
        for (int cpl = 1; cpl <= 3; cpl++)
        {
            _vcpu.Cpl = cpl;
            Assert.Equal(HypercallError.NotPermitted, Call(number, 0x1000, 0x40));
        }
        Assert.Empty(_sink.Console);
        Assert.Empty(_freed);
        Assert.False(_calls.Cooperative);
    }

    [Theory]
    [InlineData(HypercallNumber.Features)]
    [InlineData(HypercallNumber.Ready)]
    [InlineData(HypercallNumber.Log)]
    [InlineData(HypercallNumber.Poll)]
    public void OtherCallsAreOpenToUserMode(HypercallNumber number)
    {
        _vcpu.Cpl = 3;
        Assert.True(Call(number) >= 0);
    }

    [Fact]
    public void SubscribedGuestSeesEveryChangeInItsPageAndByInterrupt()
    {
        Assert.Equal(0, Call(HypercallNumber.Subscribe, 0x3000, Vector));
        Assert.True(_calls.Cooperative);
        Assert.Equal((0u, 0u), SharedPage(0x3000));
        Assert.Empty(_raised);

        _calls.Announce(MigrationEvent.Announced);
        Assert.Equal((1u, 1u), SharedPage(0x3000));
        _calls.Announce(MigrationEvent.StopSoon);
        Assert.Equal((2u, 2u), SharedPage(0x3000));
        _calls.Announce(MigrationEvent.StopSoon);
        Assert.Equal((2u, 2u), SharedPage(0x3000));
        Assert.Equal([Vector, Vector], _raised);
    }

    [Fact]
    public void SubscriptionMadeDuringAMoveShowsItAtOnce()
    {
        _calls.Announce(MigrationEvent.Announced);
        Call(HypercallNumber.Subscribe, 0x3000, Vector);
        Assert.Equal(((uint)MigrationEvent.Announced, 1u), SharedPage(0x3000));
    }

    [Fact]
    public void VectorZeroSubscribesWithoutInterrupt()
    {
        Assert.Equal(0, Call(HypercallNumber.Subscribe, 0x3000, 0));
        _calls.Announce(MigrationEvent.Announced);
        Assert.Equal((1u, 1u), SharedPage(0x3000));
        Assert.Empty(_raised);
    }

    [Fact]
    public void UnsubscribedGuestIsLeftAlone()
    {
        Call(HypercallNumber.Subscribe, 0x3000, Vector);
        Assert.Equal(0, Call(HypercallNumber.Subscribe, Hypercalls.Unsubscribe));
        Assert.False(_calls.Cooperative);
        _calls.Announce(MigrationEvent.Announced);
        Assert.Equal((0u, 0u), SharedPage(0x3000));
        Assert.Empty(_raised);
    }

    [Theory]
    [InlineData(0x3004ul, 0x31ul, HypercallError.Invalid)]
    [InlineData(0x3000ul, 31ul, HypercallError.Invalid)]
    [InlineData(0x3000ul, 256ul, HypercallError.Invalid)]
    [InlineData(0x3000ul, 0x1_0000_0031ul, HypercallError.Invalid)]
    [InlineData(Ram, 0x31ul, HypercallError.BadAddress)]
    [InlineData(0xffff_ffff_ffff_f000ul, 0x31ul, HypercallError.BadAddress)]
    public void BadSubscriptionsAreRefused(ulong address, ulong vector, long error)
    {
        Assert.Equal(error, Call(HypercallNumber.Subscribe, address, vector));
        Assert.False(_calls.Cooperative);
    }

    [Fact]
    public void FreePagesNamesEveryRangeOfTheList()
    {
        WriteRanges(0x2000, (3, 2), (0, 1), (200, 0), (Ram / 4096 - 1, 1));
        Assert.Equal(0, Call(HypercallNumber.FreePages, 0x2000, 4));
        Assert.Equal([new(new(3), 2), new(new(0), 1), new(new(Ram / 4096 - 1), 1)], _freed);
    }

    [Theory]
    [InlineData(256ul, 1ul)]
    [InlineData(255ul, 2ul)]
    [InlineData(1ul, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 2ul)]
    public void OneRangeOutsideRamRefusesTheWholeList(ulong first, ulong count)
    {
        WriteRanges(0x2000, (3, 2), (first, count));
        Assert.Equal(HypercallError.BadAddress, Call(HypercallNumber.FreePages, 0x2000, 2));
        Assert.Empty(_freed);
    }

    [Fact]
    public void FreePagesListMayBeNeitherTooLongNorOutsideRam()
    {
        Assert.Equal(HypercallError.TooBig, Call(HypercallNumber.FreePages, 0, Hypercalls.MaxFreeRanges + 1));
        Assert.Equal(HypercallError.TooBig, Call(HypercallNumber.FreePages, 0, ulong.MaxValue));
        Assert.Equal(HypercallError.BadAddress, Call(HypercallNumber.FreePages, Ram - 16, 2));
        Assert.Equal(HypercallError.BadAddress, Call(HypercallNumber.FreePages, ulong.MaxValue - 7, 1));
    }

    [Fact]
    public void ConsoleWritePassesTheBytesOn()
    {
        _memory.TryWrite(new(0x5ffd), "tick\n"u8);
        Assert.Equal(5, Call(HypercallNumber.ConsoleWrite, 0x5ffd, 5));
        Assert.Equal("tick\n", Encoding.ASCII.GetString([.. _sink.Console]));
    }

    [Fact]
    public void ConsoleWriteRefusesWhatIsTooLongOrNotRam()
    {
        Assert.Equal(HypercallError.TooBig, Call(HypercallNumber.ConsoleWrite, 0, Hypercalls.MaxConsoleBytes + 1));
        Assert.Equal(HypercallError.BadAddress, Call(HypercallNumber.ConsoleWrite, Ram - 4, 5));
        Assert.Equal(HypercallError.BadAddress, Call(HypercallNumber.ConsoleWrite, ulong.MaxValue, 5));
        Assert.Empty(_sink.Console);
    }

    [Fact]
    public void LogPassesCodeAndValueOn()
    {
        Assert.Equal(0, Call(HypercallNumber.Log, 7, ulong.MaxValue));
        Assert.Equal([(7ul, ulong.MaxValue)], _sink.Marks);
    }

    [Fact]
    public void PollShowsTheEventAndMakesTheGuestCooperative()
    {
        _calls.Announce(MigrationEvent.StopSoon);
        Assert.False(_calls.Cooperative);
        Assert.Equal((long)MigrationEvent.StopSoon, Call(HypercallNumber.Poll));
        Assert.True(_calls.Cooperative);
    }

    [Theory]
    [InlineData(true, 1)]
    [InlineData(false, 0)]
    public async Task ReadyParksUntilTheMoveIsDecided(bool moved, long result)
    {
        List<int> unparked = [];
        _calls.Unparked += unparked.Add;
        _calls.Announce(MigrationEvent.StopSoon);
        Task ready = _calls.WaitReadyAsync(CancellationToken.None);
        Assert.False(ready.IsCompleted);

        _vcpu.Rax = (uint)HypercallNumber.Ready;
        Assert.Equal(HypercallOutcome.Parked, _calls.Call(_vcpu));
        Assert.True(_calls.IsParked(0));
        await ready.WaitAsync(TimeSpan.FromSeconds(10));
        Assert.True(_calls.WaitReadyAsync(CancellationToken.None).IsCompletedSuccessfully);

        _calls.CompleteReady(moved);
        Assert.False(_calls.IsParked(0));
        Assert.Equal(result, (long)_vcpu.Rax);
        Assert.Equal([0], unparked);
    }

    [Fact]
    public async Task WaitingForReadyEndsWithItsTokenAndMayBeginAgain()
    {
        _calls.Announce(MigrationEvent.StopSoon);
        using CancellationTokenSource cancel = new();
        Task first = _calls.WaitReadyAsync(cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);

        Task second = _calls.WaitReadyAsync(CancellationToken.None);
        _vcpu.Rax = (uint)HypercallNumber.Ready;
        _calls.Call(_vcpu);
        await second.WaitAsync(TimeSpan.FromSeconds(10));
    }

    [Fact]
    public void ReadyWithNoMoveUnderWayReturnsAtOnceWithWhatBecameOfTheLast()
    {
        Assert.Equal(0, Call(HypercallNumber.Ready));
        _calls.Announce(MigrationEvent.StopSoon);
        _calls.CompleteReady(moved: true);
        _calls.Announce(MigrationEvent.Resumed);
        Assert.Equal(1, Call(HypercallNumber.Ready));
        Assert.False(_calls.IsParked(0));
    }

    [Fact]
    public void EndOfAMoveNeverLeavesAVcpuParked()
    {
        _calls.Announce(MigrationEvent.Announced);
        _vcpu.Rax = (uint)HypercallNumber.Ready;
        _calls.Call(_vcpu);
        _calls.Announce(MigrationEvent.None);
        Assert.False(_calls.IsParked(0));
        Assert.Equal(0ul, _vcpu.Rax);
    }

    [Fact]
    public void PendingReadyIsCompletedOnTheMachineItMovedTo()
    {
        Call(HypercallNumber.Subscribe, 0x3000, Vector);
        _calls.Announce(MigrationEvent.StopSoon);
        _vcpu.Rax = (uint)HypercallNumber.Ready;
        _calls.Call(_vcpu);
        byte[] stream = MessagePackSerializer.Serialize(_calls.SaveState(), cancellationToken: CancellationToken.None);

        using GuestMemory memory = new(Ram);
        List<byte> raised = [];
        FakeVcpu vcpu = new();
        Hypercalls target = new(new Lock(), memory, raised.Add, new RecordingSink());
        target.AttachVcpu(vcpu);
        target.LoadState(MessagePackSerializer.Deserialize<HypercallsState>(stream, cancellationToken: CancellationToken.None));
        Assert.True(target.IsParked(0));
        Assert.True(target.Cooperative);

        target.CompleteReady(moved: true);
        target.Announce(MigrationEvent.Resumed);
        Assert.Equal(1ul, vcpu.Rax);
        Assert.Equal([Vector], raised);
        Span<byte> page = stackalloc byte[8];
        Assert.True(memory.TryRead(new(0x3000), page));
        Assert.Equal((uint)MigrationEvent.Resumed, BinaryPrimitives.ReadUInt32LittleEndian(page));
        Assert.Equal(2u, BinaryPrimitives.ReadUInt32LittleEndian(page[4..]));
    }

    [Fact]
    public void StateThatCannotBeFromSuchAMachineIsRefused()
    {
        HypercallsState good = _calls.SaveState();
        HypercallsState[] bad =
        [
            good with { Event = 4 },
            good with { Event = -1 },
            good with { PendingReady = [1] },
            good with { PendingReady = [-1] },
            good with { PendingReady = [0, 0] },
            good with { PendingReady = null! },
            good with { SubscribedAddress = Ram, Vector = 40 },
            good with { SubscribedAddress = 0x3001, Vector = 40 },
            good with { SubscribedAddress = 0x3000, Vector = 256 },
        ];
        foreach (HypercallsState state in bad)
            Assert.Throws<InvalidStateException>(() => _calls.LoadState(state));
        Assert.Equivalent(good, _calls.SaveState());
    }

    [Fact]
    public void OnlyAFourByteOutFromEaxRingsTheDoorbell()
    {
        int parked = 0;
        HypercallDoorbell doorbell = new(_calls, () => _vcpu, () => parked++);
        _vcpu.Rax = (uint)HypercallNumber.Log;
        doorbell.WritePort(0, 1, (uint)HypercallNumber.Log);
        doorbell.WritePort(0, 2, (uint)HypercallNumber.Log);
        doorbell.WritePort(0, 4, (uint)HypercallNumber.Features);
        Assert.Empty(_sink.Marks);
        doorbell.WritePort(0, 4, (uint)HypercallNumber.Log);
        Assert.Single(_sink.Marks);
        Assert.Equal(0xffu, doorbell.ReadPort(0, 1));
        Assert.Equal(uint.MaxValue, doorbell.ReadPort(0, 4));
        Assert.Equal(0, parked);
        _calls.Announce(MigrationEvent.StopSoon);
        _vcpu.Rax = (uint)HypercallNumber.Ready;
        doorbell.WritePort(0, 4, (uint)HypercallNumber.Ready);
        Assert.Equal(1, parked);
    }

    [Fact]
    public void KvmCallsAreUnknownToTheKernelAndForbiddenToUserMode()
    {
        _vcpu.Rax = 5;
        Hypercalls.VmCall(_vcpu);
        Assert.Equal(HypercallError.Unknown, (long)_vcpu.Rax);
        _vcpu.Cpl = 3;
        Hypercalls.VmCall(_vcpu);
        Assert.Equal(HypercallError.NotPermitted, (long)_vcpu.Rax);
    }

    private long Call(HypercallNumber number, ulong rbx = 0, ulong rcx = 0)
    {
        (_vcpu.Rax, _vcpu.Rbx, _vcpu.Rcx) = ((uint)number, rbx, rcx);
        _calls.Call(_vcpu);
        return (long)_vcpu.Rax;
    }

    private (uint Event, uint Changes) SharedPage(ulong address)
    {
        Span<byte> page = stackalloc byte[8];
        Assert.True(_memory.TryRead(new(address), page));
        return (BinaryPrimitives.ReadUInt32LittleEndian(page), BinaryPrimitives.ReadUInt32LittleEndian(page[4..]));
    }

    private void WriteRanges(ulong address, params (ulong First, ulong Count)[] ranges)
    {
        byte[] list = new byte[ranges.Length * 16];
        for (int i = 0; i < ranges.Length; i++)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(list.AsSpan(i * 16), ranges[i].First);
            BinaryPrimitives.WriteUInt64LittleEndian(list.AsSpan(i * 16 + 8), ranges[i].Count);
        }
        Assert.True(_memory.TryWrite(new(address), list));
    }
}
