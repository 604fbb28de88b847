using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;
using Godwit.Engine.Paravirt;
using Xunit;

namespace Godwit.Engine.Tests.Paravirt;

public sealed class KvmMsrsTests : IDisposable
{
    private const ulong Ram = 1 << 20;
    private const ulong Page = 0x4020;

    private readonly GuestMemory _memory = new(Ram);
    private readonly FakeClock _clock = new(2_500_000_000);
    private readonly KvmMsrs _msrs;

    public KvmMsrsTests() => _msrs = new KvmMsrs(_memory, _clock);

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void CpuidNamesKvmAndGodwitToTheirReaders()
    {
        Assert.Equal("KVMKVMKVM\0\0\0", Text(0x4000_0000));
        Assert.Equal("GodwitGodwit", Text(0x4000_0100));
        Assert.Equal(0x4000_0001u, ParavirtCpuid.Leaf(0x4000_0000, 0)!.Value.Eax);
        Assert.Equal(0x0100_004bu, ParavirtCpuid.Leaf(0x4000_0001, 0)!.Value.Eax);
        Assert.Equal(new CpuidLeaf(1, 0x5747, 0x1cf, 0), ParavirtCpuid.Leaf(0x4000_0101, 0));
        Assert.Null(ParavirtCpuid.Leaf(0x4000_0002, 0));
        Assert.Null(ParavirtCpuid.Leaf(0x4000_0102, 0));
        Assert.Null(ParavirtCpuid.Leaf(1, 0));
    }

    [Theory]
    [InlineData(KvmMsrs.SystemTime)]
    [InlineData(KvmMsrs.OldSystemTime)]
    public void SystemTimePageGivesTheGuestTheMachinesTime(uint msr)
    {
        _clock.Tsc = 7_777_777_777;
        Assert.True(_msrs.WriteMsr(msr, Page | 1));
        Assert.True(_msrs.ReadMsr(msr, out ulong value));
        Assert.Equal(Page | 1, value);
        Assert.Equal(_clock.Nanoseconds, GuestNanoseconds());
        _clock.Tsc += 2_500_000_000;
        Assert.InRange(GuestNanoseconds(), _clock.Nanoseconds - 2, _clock.Nanoseconds);
    }

    [Fact]
    public void VersionIsEvenAndGrowsWithEveryAnchor()
    {
        _msrs.WriteMsr(KvmMsrs.SystemTime, Page | 1);
        uint first = Word(Page);
        _msrs.Resumed(stopped: false);
        uint second = Word(Page);
        Assert.Equal(0u, first & 1);
        Assert.Equal(first + 2, second);
    }

    [Fact]
    public void VersionLeftOddByAHalfDoneUpdateIsMadeEvenAgain()
    {
        _memory.TryWrite(new(Page), [7, 0, 0, 0]);
        _msrs.WriteMsr(KvmMsrs.SystemTime, Page | 1);
        Assert.Equal(8u, Word(Page));
    }

    [Fact]
    public void StoppedFlagStaysUntilTheGuestClearsIt()
    {
        _msrs.WriteMsr(KvmMsrs.SystemTime, Page | 1);
        Assert.Equal(1, Flags());
        _msrs.Resumed(stopped: true);
        Assert.Equal(3, Flags());
        _msrs.Resumed(stopped: false);
        Assert.Equal(3, Flags());
        _memory.TryWrite(new(Page + 29), [1]);
        _msrs.Resumed(stopped: false);
        Assert.Equal(1, Flags());
    }

    [Theory]
    [InlineData(1_000_000_000ul)]
    [InlineData(2_499_999_937ul)]
    [InlineData(999_999_999ul)]
    [InlineData(4_294_967_296ul)]
    [InlineData(10_000_000_000ul)]
    [InlineData(1_193_182ul)]
    public void NewAnchorNeverSetsTheGuestsClockBack(ulong tscHz)
    {
        FakeClock clock = new(tscHz);
        KvmMsrs msrs = new(_memory, clock);
        msrs.WriteMsr(KvmMsrs.SystemTime, Page | 1);
        ulong last = 0;
        for (ulong step = 1; step < 2_000; step++)
        {
            clock.Tsc += step * step * tscHz / 10_000_019 + 1;
            ulong before = GuestNanoseconds(clock);
            msrs.Resumed(stopped: false);
            ulong after = GuestNanoseconds(clock);
            Assert.True(last <= before && before <= after, $"at TSC {clock.Tsc}: {last}, {before}, {after}");
            Assert.Equal(clock.Nanoseconds, after);
            last = after;
        }
    }

    [Theory]
    [InlineData(1_000_000_000ul)]
    [InlineData(3_141_592_653ul)]
    [InlineData(1_193_182ul)]
    public void ScaleIsExactToOnePartInTwoToThe31(ulong tscHz)
    {
        TscScale scale = TscScale.For(tscHz);
        ulong hour = tscHz * 3600;
        ulong exact = 3_600_000_000_000;
        Assert.InRange(scale.Nanoseconds(hour), exact - (exact >> 31) - 1, exact);
    }

    [Fact]
    public void WallClockIsTheMomentOfGuestTimeZero()
    {
        _clock.Tsc = 5_000_000_000; // two seconds
        _clock.WallNanoseconds = 1_800_000_002_000_000_123;
        Assert.True(_msrs.WriteMsr(KvmMsrs.WallClock, Page));
        Assert.Equal(1_800_000_000u, Word(Page + 4));
        Assert.Equal(123u, Word(Page + 8));
        Assert.Equal(0u, Word(Page) & 1);
    }

    [Theory]
    [InlineData(Ram)]
    [InlineData(Ram - 8)]
    [InlineData(0xffff_ffff_ffff_fffcul)]
    public void AddressOutsideRamIsNeverWrittenTo(ulong address)
    {
        Assert.True(_msrs.WriteMsr(KvmMsrs.SystemTime, address | 1));
        Assert.True(_msrs.WriteMsr(KvmMsrs.WallClock, address));
        _msrs.Resumed(stopped: true);
        byte[] ram = new byte[Ram];
        _memory.TryRead(new(0), ram);
        Assert.True(ram.AsSpan().IndexOfAnyExcept((byte)0) < 0);
    }

    [Fact]
    public void ClockThatTheGuestHasSwitchedOffIsLeftAlone()
    {
        _msrs.WriteMsr(KvmMsrs.SystemTime, Page | 1);
        _msrs.WriteMsr(KvmMsrs.SystemTime, 0);
        uint version = Word(Page);
        _msrs.Resumed(stopped: true);
        Assert.Equal(version, Word(Page));
    }

    [Fact]
    public void OtherMsrsAreNotOurs()
    {
        Assert.False(_msrs.ReadMsr(0x4b56_4d02, out _));
        Assert.False(_msrs.WriteMsr(0x4b56_4d02, 1));
        Assert.False(_msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0x1003));
    }

    [Fact]
    public void GuestEndsAnInterruptByClearingItsFlag()
    {
        Assert.False(_msrs.PvEoi.TryArm());
        _msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0x1001);
        Assert.True(_msrs.PvEoi.TryArm());
        Assert.Equal(1u, Word(0x1000));
        _memory.TryWrite(new(0x1000), [0]);
        Assert.True(_msrs.PvEoi.TryConsume());
    }

    [Fact]
    public void FlagTakenBackLeavesTheGuestToWriteTheApic()
    {
        _msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0x1001);
        _msrs.PvEoi.TryArm();
        Assert.False(_msrs.PvEoi.TryConsume());
        Assert.Equal(0u, Word(0x1000));
    }

    [Fact]
    public void ApicSettlesWithTheOldWordBeforeTheGuestNamesANewOne()
    {
        List<ulong> settled = [];
        KvmMsrs msrs = null!;
        msrs = new KvmMsrs(_memory, _clock, settleEoi: () => settled.Add(msrs.PvEoi.Msr));
        msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0x1001);
        msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0x2001);
        Assert.Equal([0ul, 0x1001ul], settled);
    }

    [Fact]
    public void PvEoiOutsideRamIsNeverArmedNorTakenForCleared()
    {
        _msrs.WriteMsr(KvmMsrs.PvEoiEnable, Ram | 1);
        Assert.False(_msrs.PvEoi.TryArm());
        Assert.False(_msrs.PvEoi.TryConsume());
    }

    [Fact]
    public void TscThatTheGuestHasMovedGivesTheSameTime()
    {
        _clock.Tsc = 5_000_000_000;
        KvmMsrs msrs = new(_memory, _clock, tscAdjust: () => 1_000_000);
        msrs.WriteMsr(KvmMsrs.SystemTime, Page | 1);
        _clock.Tsc += 1_000_000; // the guest's RDTSC
        Assert.Equal(2_000_000_000ul, GuestNanoseconds());
    }

    [Fact]
    public void SavedMsrsGoOnElsewhere()
    {
        _msrs.WriteMsr(KvmMsrs.SystemTime, Page | 1);
        _msrs.WriteMsr(KvmMsrs.WallClock, 0x7000);
        _msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0x1001);
        KvmMsrs target = new(_memory, _clock);
        target.LoadState(_msrs.SaveState());
        Assert.Equal(_msrs.SaveState(), target.SaveState());
        uint version = Word(Page);
        target.Resumed(stopped: true);
        Assert.Equal(version + 2, Word(Page));
        Assert.Equal(3, Flags());
        Assert.Throws<InvalidStateException>(() => target.LoadState(_msrs.SaveState() with { PvEoi = 3 }));
    }

    private static string Text(uint leaf)
    {
        CpuidLeaf registers = ParavirtCpuid.Leaf(leaf, 0)!.Value;
        byte[] text = new byte[12];
        BinaryPrimitives.WriteUInt32LittleEndian(text, registers.Ebx);
        BinaryPrimitives.WriteUInt32LittleEndian(text.AsSpan(4), registers.Ecx);
        BinaryPrimitives.WriteUInt32LittleEndian(text.AsSpan(8), registers.Edx);
        return Encoding.ASCII.GetString(text);
    }

    private ulong GuestNanoseconds(FakeClock? clock = null)
    {
        // As a guest reads it: pvclock_clocksource_read of Linux, in words.
        Span<byte> page = stackalloc byte[32];
        _memory.TryRead(new(Page), page);
        ulong delta = (clock ?? _clock).Tsc - BinaryPrimitives.ReadUInt64LittleEndian(page[8..]);
        sbyte shift = (sbyte)page[28];
        delta = shift < 0 ? delta >> -shift : delta << shift;
        return BinaryPrimitives.ReadUInt64LittleEndian(page[16..])
            + (ulong)((UInt128)delta * BinaryPrimitives.ReadUInt32LittleEndian(page[24..]) >> 32);
    }

    private uint Word(ulong address)
    {
        Span<byte> word = stackalloc byte[4];
        _memory.TryRead(new(address), word);
        return BinaryPrimitives.ReadUInt32LittleEndian(word);
    }

    private byte Flags()
    {
        Span<byte> flags = stackalloc byte[1];
        _memory.TryRead(new(Page + 29), flags);
        return flags[0];
    }
}
