using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Lapic;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class LocalApicTests
{
    private const uint Id = 0x20, Tpr = 0x80, Ppr = 0xa0, Eoi = 0xb0, Logical = 0xd0, Format = 0xe0, Spurious = 0xf0, Isr = 0x100, Irr = 0x200,
        Error = 0x280, IcrLow = 0x300, IcrHigh = 0x310, LvtTimer = 0x320, Lint0 = 0x350, LvtError = 0x370, Initial = 0x380, Current = 0x390, Divide = 0x3e0;

    private const uint ApicBase = 0x1b, TscDeadline = 0x6e0;

    private readonly ManualClock _clock = new();
    private readonly ApicBus _bus = new();
    private readonly Pic _pic = new();
    private readonly List<byte> _ended = [];
    private readonly LocalApic _apic;
    private int _wakes;

    public LocalApicTests()
    {
        _apic = Create(0);
        _bus.LevelEnded = _ended.Add;
        Write(Spurious, 0x1ff);
    }

    private LocalApic Create(int id)
    {
        LocalApic apic = new(id, bootstrap: id == 0, _clock, _clock.Timers, _bus, _pic, () => _wakes++);
        _bus.Attach(apic);
        return apic;
    }

    private void Write(uint offset, uint value) => _apic.WriteMmio(offset, 4, value);

    private uint Read(uint offset) => (uint)_apic.ReadMmio(offset, 4);

    private void Request(byte vector, bool level = false) => Assert.True(_apic.Accept(DeliveryMode.Fixed, vector, level));

    private void EnableX2() => Assert.True(_apic.WriteMsr(ApicBase, 0xfee00d00));

    private ulong ReadMsr(uint index)
    {
        Assert.True(_apic.ReadMsr(index, out ulong value));
        return value;
    }

    [Fact]
    public void AnInterruptGoesFromRequestedToInServiceToEnded()
    {
        Request(0x31);
        Assert.True(_apic.HasInterrupt);
        Assert.Equal(1, _wakes);
        Assert.Equal(1u << 0x11, Read(Irr + 0x10));
        Assert.Equal(0x31, _apic.Acknowledge());
        Assert.False(_apic.HasInterrupt);
        Assert.Equal(0u, Read(Irr + 0x10));
        Assert.Equal(1u << 0x11, Read(Isr + 0x10));
        Assert.Equal(0x30u, Read(Ppr));
        Write(Eoi, 0);
        Assert.Equal(0u, Read(Isr + 0x10));
        Assert.Equal(-1, _apic.Acknowledge());
    }

    [Fact]
    public void OnlyAHigherClassInterrupts()
    {
        Request(0x31);
        _apic.Acknowledge();
        Request(0x3f);
        Assert.False(_apic.HasInterrupt);
        Request(0x41);
        Assert.True(_apic.HasInterrupt);
        Assert.Equal(0x41, _apic.Acknowledge());
        Write(Eoi, 0);
        Assert.False(_apic.HasInterrupt);
        Write(Eoi, 0);
        Assert.Equal(0x3f, _apic.Acknowledge());
    }

    [Theory]
    [InlineData(0x30, 0x31, false)]
    [InlineData(0x30, 0x3f, false)]
    [InlineData(0x30, 0x40, true)]
    [InlineData(0xff, 0xfe, false)]
    [InlineData(0x00, 0x10, true)]
    public void TheTaskPriorityHoldsItsClassBack(uint priority, byte vector, bool delivered)
    {
        Write(Tpr, priority);
        Assert.Equal(priority >> 4, _apic.TaskPriority);
        Request(vector);
        Assert.Equal(delivered, _apic.HasInterrupt);
        _apic.TaskPriority = 0;
        Assert.True(_apic.HasInterrupt);
    }

    [Fact]
    public void OnlyALevelTriggeredEndIsBroadcast()
    {
        Request(0x41);
        _apic.Acknowledge();
        Write(Eoi, 0);
        Assert.Empty(_ended);
        Request(0x42, level: true);
        _apic.Acknowledge();
        Write(Eoi, 0);
        Assert.Equal([0x42], _ended);
    }

    [Fact]
    public void SoftwareDisabledItTakesNmiButNoFixedInterrupt()
    {
        Write(Spurious, 0xff);
        Assert.False(_apic.Accept(DeliveryMode.Fixed, 0x31, false));
        Assert.True(_apic.Accept(DeliveryMode.Nmi, 0, false));
        Assert.True(_apic.HasNmi);
        Assert.True(_apic.TakeNmi());
        Assert.False(_apic.HasNmi);
        Assert.False(_apic.TakeNmi());
        Assert.Equal(0x10000u, Read(LvtTimer) & 0x10000);
        Write(LvtTimer, 0x31);
        Assert.Equal(0x10031u, Read(LvtTimer));
    }

    [Fact]
    public void TheOneShotTimerFiresOnceAfterItsDividedCount()
    {
        Write(LvtTimer, 0x31);
        Write(Divide, 0x3);
        Write(Initial, 1000);
        _clock.Advance(4000);
        Assert.Equal(750u, Read(Current));
        _clock.Advance(11_999);
        Assert.Equal(1u, Read(Current));
        Assert.False(_apic.HasInterrupt);
        _clock.Advance(1);
        Assert.Equal(0x31, _apic.Acknowledge());
        Write(Eoi, 0);
        Assert.Equal(0u, Read(Current));
        Assert.Null(_clock.Timers.NextDeadline);
        _clock.Advance(100_000);
        Assert.False(_apic.HasInterrupt);
    }

    [Theory]
    [InlineData(0x0, 2)]
    [InlineData(0x1, 4)]
    [InlineData(0x2, 8)]
    [InlineData(0x3, 16)]
    [InlineData(0x8, 32)]
    [InlineData(0x9, 64)]
    [InlineData(0xa, 128)]
    [InlineData(0xb, 1)]
    public void TheDivideConfigurationScalesTheCount(uint configuration, ulong divisor)
    {
        Write(LvtTimer, 0x31);
        Write(Divide, configuration);
        Write(Initial, 100);
        Assert.Equal(100 * divisor, _clock.Timers.NextDeadline);
    }

    [Fact]
    public void ThePeriodicTimerKeepsItsPhaseAndMergesMissedPeriods()
    {
        Write(LvtTimer, 0x20031);
        Write(Divide, 0xb);
        Write(Initial, 1000);
        _clock.Advance(3500);
        Assert.Equal(0x31, _apic.Acknowledge());
        Write(Eoi, 0);
        _clock.Nanoseconds = 9_300;
        _clock.Timers.RunDue();
        Assert.Equal(10_000ul, _clock.Timers.NextDeadline);
        Assert.Equal(700u, Read(Current));
        Assert.Equal(0x31, _apic.Acknowledge());
        Assert.Equal(-1, _apic.Acknowledge());
    }

    [Fact]
    public void AMaskedTimerCountsButArmsNothing()
    {
        Write(LvtTimer, 0x30031);
        Write(Divide, 0xb);
        Write(Initial, 1000);
        Assert.Null(_clock.Timers.NextDeadline);
        _clock.Advance(2300);
        Assert.Equal(700u, Read(Current));
        Write(LvtTimer, 0x20031);
        Assert.False(_apic.HasInterrupt);
        Assert.Equal(3000ul, _clock.Timers.NextDeadline);
    }

    [Fact]
    public void TheTscDeadlineFiresWhenTheTscReachesIt()
    {
        Write(LvtTimer, 0x40031);
        Assert.True(_apic.WriteMsr(TscDeadline, 2001));
        Assert.Equal(2001ul, ReadMsr(TscDeadline));
        _clock.Advance(1000);
        Assert.False(_apic.HasInterrupt);
        _clock.Advance(1);
        Assert.Equal(0x31, _apic.Acknowledge());
        Assert.Equal(0ul, ReadMsr(TscDeadline));
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void ATscDeadlineInThePastFiresAtOnceAndZeroDisarms()
    {
        _clock.Advance(5000);
        Write(LvtTimer, 0x40031);
        _apic.WriteMsr(TscDeadline, ulong.MaxValue);
        _apic.WriteMsr(TscDeadline, 0);
        Assert.Null(_clock.Timers.NextDeadline);
        Assert.False(_apic.HasInterrupt);
        _apic.WriteMsr(TscDeadline, 1);
        Assert.Equal(0x31, _apic.Acknowledge());
    }

    [Fact]
    public void TheTscDeadlineIsIgnoredInOtherModesAndDisarmedByAChangeOfMode()
    {
        _apic.WriteMsr(TscDeadline, 5000);
        Assert.Equal(0ul, ReadMsr(TscDeadline));
        Write(LvtTimer, 0x40031);
        _apic.WriteMsr(TscDeadline, 5000);
        Write(LvtTimer, 0x00031);
        Assert.Null(_clock.Timers.NextDeadline);
        Write(LvtTimer, 0x40031);
        Assert.Equal(0ul, ReadMsr(TscDeadline));
    }

    [Theory]
    [InlineData(0x00, 0x000040c1, true, false)]
    [InlineData(0x01, 0x000040c1, false, true)]
    [InlineData(0xff, 0x000040c1, true, true)]
    [InlineData(0x00, 0x000440c1, true, false)]
    [InlineData(0x00, 0x000840c1, true, true)]
    [InlineData(0x00, 0x000c40c1, false, true)]
    [InlineData(0x02, 0x000048c1, false, true)]
    [InlineData(0x03, 0x000048c1, true, true)]
    public void InterprocessorInterruptsReachTheirDestination(byte destination, uint command, bool self, bool other)
    {
        LocalApic second = Create(1);
        second.WriteMmio(Spurious, 4, 0x1ff);
        Write(Logical, 0x01000000);
        second.WriteMmio(Logical, 4, 0x02000000);
        Write(IcrHigh, (uint)destination << 24);
        Write(IcrLow, command);
        Assert.Equal(self ? 0xc1 : -1, _apic.Acknowledge());
        Assert.Equal(other ? 0xc1 : -1, second.Acknowledge());
        Assert.Equal(0u, Read(IcrLow) & 0x1000);
    }

    [Fact]
    public void ClusteredDestinationsNeedClusterAndMember()
    {
        Write(Format, 0x0fffffff);
        Write(Logical, 0x12000000);
        Assert.True(_apic.Matches(0x12, logical: true));
        Assert.True(_apic.Matches(0xf3, logical: true));
        Assert.False(_apic.Matches(0x22, logical: true));
        Assert.False(_apic.Matches(0x11, logical: true));
    }

    [Fact]
    public void LowestPriorityGoesToTheLeastBusy()
    {
        LocalApic second = Create(1);
        second.WriteMmio(Spurious, 4, 0x1ff);
        _apic.TaskPriority = 5;
        Assert.True(_bus.Send(new InterruptMessage(ApicBus.Broadcast, false, DeliveryMode.LowestPriority, 0x61, false)));
        Assert.False(_apic.HasInterrupt);
        Assert.Equal(0x61, second.Acknowledge());
    }

    [Fact]
    public void InitAndStartupWaitForTheVcpu()
    {
        LocalApic second = Create(1);
        Write(IcrHigh, 1u << 24);
        Write(IcrLow, 0x4500);
        Write(IcrLow, 0x469a);
        Assert.True(second.TakeInit());
        Assert.False(second.TakeInit());
        Assert.Equal((byte)0x9a, second.TakeStartup());
        Assert.Null(second.TakeStartup());
    }

    [Fact]
    public void IllegalVectorsAreRecordedAndRaiseTheErrorInterrupt()
    {
        Write(LvtError, 0xfe);
        Write(IcrLow, 0x00044005);
        Assert.Equal(0xfe, _apic.Acknowledge());
        Assert.Equal(0u, Read(Error));
        Write(Error, 0);
        Assert.Equal(0x20u, Read(Error));
        Write(Error, 0);
        Assert.Equal(0u, Read(Error));
        Write(LvtError, 0x03);
        Assert.False(_apic.Accept(DeliveryMode.Fixed, 0x05, false));
        Write(Error, 0);
        Assert.Equal(0x40u, Read(Error));
        Read(0x3f0);
        Write(Error, 0);
        Assert.Equal(0xc0u, Read(Error));
    }

    [Fact]
    public void ExternalInterruptsComeThroughLint0WhenItIsUnmaskedExtInt()
    {
        _pic.Vector = 0x24;
        _apic.Lint0.Set(true);
        Assert.True(_apic.HasInterrupt);
        Write(Lint0, 0x10700);
        Assert.False(_apic.HasInterrupt);
        Write(Lint0, 0x00700);
        Assert.Equal(0x24, _apic.Acknowledge());
        _apic.Lint0.Set(false);
        Assert.False(_apic.HasInterrupt);
        Assert.Equal(-1, _apic.Acknowledge());
    }

    [Fact]
    public void DisabledTheApicLetsThe8259Through()
    {
        Assert.True(_apic.WriteMsr(ApicBase, 0xfee00100));
        Assert.Equal(0xffffffff, Read(Id));
        _pic.Vector = 0x24;
        _apic.Lint0.Set(true);
        Assert.Equal(0x24, _apic.Acknowledge());
        Assert.False(_apic.Accept(DeliveryMode.Nmi, 0, false));
    }

    [Fact]
    public void AFixedLevelOnLint0IsSentAgainAfterItsEnd()
    {
        Write(Lint0, 0x8041);
        _apic.Lint0.Set(true);
        Assert.Equal(0xc041u, Read(Lint0));
        Assert.Equal(0x41, _apic.Acknowledge());
        Write(Eoi, 0);
        Assert.Equal(0x41, _apic.Acknowledge());
        _apic.Lint0.Set(false);
        Write(Eoi, 0);
        Assert.Equal(-1, _apic.Acknowledge());
        Assert.Equal(0x8041u, Read(Lint0));
    }

    [Fact]
    public void Lint1IsTheNmiInput()
    {
        Write(0x360, 0x400);
        _apic.Lint1.Set(true);
        Assert.True(_apic.TakeNmi());
    }

    [Theory]
    [InlineData(0xfee00900, 0xfee00d00, true)]
    [InlineData(0xfee00900, 0xfee00100, true)]
    [InlineData(0xfee00100, 0xfee00d00, false)]
    [InlineData(0xfee00d00, 0xfee00900, false)]
    [InlineData(0xfee00d00, 0xfee00100, true)]
    [InlineData(0xfee00900, 0xfee00500, false)]
    [InlineData(0xfee00900, 0xfee00901, false)]
    [InlineData(0xfee00900, 0xfed00900, false)]
    public void ModesChangeOnlyAlongTheManualsArrows(ulong from, ulong to, bool allowed)
    {
        Assert.True(_apic.WriteMsr(ApicBase, from));
        Assert.Equal(allowed, _apic.WriteMsr(ApicBase, to));
        Assert.Equal(allowed ? to : from, ReadMsr(ApicBase));
    }

    [Theory]
    [InlineData(0x802, 0, false)]
    [InlineData(0x803, 0, false)]
    [InlineData(0x808, 0x20, true)]
    [InlineData(0x808, 0x100, false)]
    [InlineData(0x80b, 0, true)]
    [InlineData(0x80b, 1, false)]
    [InlineData(0x80d, 0, false)]
    [InlineData(0x80e, 0, false)]
    [InlineData(0x80f, 0x1ff, true)]
    [InlineData(0x80f, 0x2ff, false)]
    [InlineData(0x828, 0, true)]
    [InlineData(0x828, 1, false)]
    [InlineData(0x830, 0x00000000_000440f0, true)]
    [InlineData(0x830, 0x00000000_80000000, false)]
    [InlineData(0x831, 0, false)]
    [InlineData(0x832, 0x400ec, true)]
    [InlineData(0x832, 0x800ec, false)]
    [InlineData(0x838, 0x1_0000_0000, false)]
    [InlineData(0x839, 0, false)]
    [InlineData(0x83e, 0x4, false)]
    [InlineData(0x83f, 0x40, true)]
    [InlineData(0x840, 0, false)]
    [InlineData(0x8ff, 0, false)]
    public void X2ApicWritesOutsideTheRulesFault(uint index, ulong value, bool allowed)
    {
        Assert.False(_apic.WriteMsr(index, value));
        EnableX2();
        Assert.Equal(allowed, _apic.WriteMsr(index, value));
    }

    [Fact]
    public void InX2ApicModeThePageIsGoneAndMsrsTakeItsPlace()
    {
        EnableX2();
        Assert.Equal(0xffffffff, Read(Id));
        Assert.Equal(0ul, ReadMsr(0x802));
        Assert.Equal(1ul, ReadMsr(0x80d));
        Assert.False(_apic.ReadMsr(0x80b, out _));
        Assert.True(_apic.WriteMsr(0x83f, 0x55));
        Assert.Equal(0x55, _apic.Acknowledge());
        Assert.True(_apic.WriteMsr(0x80b, 0));
        Assert.True(_apic.WriteMsr(0x830, 0x00000000_00004061));
        Assert.Equal(0x61, _apic.Acknowledge());
        Assert.True(_apic.WriteMsr(0x830, 0x00000001_00004061));
        Assert.Equal(0x00000001_00004061ul, ReadMsr(0x830));
        Assert.Equal(-1, _apic.Acknowledge());
    }

    [Fact]
    public void AnX2ApicEndOfInterruptByPvWordNeedsNoWrite()
    {
        PvWord pv = new();
        _apic.PvEoi = pv;
        Request(0x31);
        _apic.Acknowledge();
        Assert.True(pv.Bit);
        pv.Bit = false;
        Request(0x31);
        Assert.Equal(0x31, _apic.Acknowledge());
    }

    [Fact]
    public void AGuestThatHasNotClearedItsPvWordMustWriteTheRegister()
    {
        PvWord pv = new();
        _apic.PvEoi = pv;
        Request(0x31);
        _apic.Acknowledge();
        Request(0x32);
        Assert.True(_apic.HasInterrupt);
        Assert.Equal(-1, _apic.Acknowledge());
        Assert.False(pv.Bit);
        Assert.False(_apic.HasInterrupt);
        Write(Eoi, 0);
        Assert.Equal(0x32, _apic.Acknowledge());
    }

    /// <summary>Another thread may raise an interrupt in the middle of the guest's own look at the word.</summary>
    [Fact]
    public void RaisingAnInterruptLeavesTheGuestsPvWordAlone()
    {
        PvWord pv = new();
        _apic.PvEoi = pv;
        Request(0x31);
        _apic.Acknowledge();
        _wakes = 0;
        Request(0x32);
        Assert.True(pv.Bit);
        Assert.Equal(1, _wakes);
        pv.Bit = false;
        Assert.Equal(0x32, _apic.Acknowledge());
    }

    [Fact]
    public void PvEoiIsNotOfferedForLevelsNorWhileAnotherInterruptWaits()
    {
        PvWord pv = new();
        _apic.PvEoi = pv;
        Request(0x31, level: true);
        _apic.Acknowledge();
        Assert.False(pv.Bit);
        Write(Eoi, 0);
        Request(0x31);
        Request(0x21);
        _apic.Acknowledge();
        Assert.False(pv.Bit);
        Write(Eoi, 0);
        Assert.Equal(0x21, _apic.Acknowledge());
        Assert.True(pv.Bit);
        Request(0x91);
        _apic.Acknowledge();
        Assert.False(pv.Bit);
    }

    [Fact]
    public void ARestoredApicFiresItsDeadlineAndKeepsItsInterrupts()
    {
        Write(LvtTimer, 0x40031);
        _apic.WriteMsr(TscDeadline, 10_000);
        Request(0x71, level: true);
        _apic.Acknowledge();
        Request(0x72);
        _clock.Advance(100);
        ManualClock clock = new() { Nanoseconds = _clock.Nanoseconds };
        ApicBus bus = new() { LevelEnded = _ended.Add };
        LocalApic restored = new(0, true, clock, clock.Timers, bus, _pic, () => { });
        restored.LoadState(_apic.SaveState());
        Assert.False(restored.HasInterrupt);
        restored.WriteMmio(Eoi, 4, 0);
        Assert.Equal([0x71], _ended);
        Assert.Equal(0x72, restored.Acknowledge());
        Assert.Equal(5000ul, clock.Timers.NextDeadline);
    }

    [Fact]
    public void RandomAccessesNeverThrow()
    {
        const int seed = 20261122;
        Random random = new(seed);
        for (int i = 0; i < 200_000; i++)
        {
            ulong offset = (ulong)random.Next(0x420);
            int size = 1 << random.Next(4);
            switch (random.Next(7))
            {
                case 0:
                    _apic.ReadMmio(offset, size);
                    break;
                case 1:
                    _apic.WriteMmio(offset & ~0xful, size, (ulong)random.NextInt64());
                    break;
                case 2:
                    _apic.WriteMsr(0x800 + (uint)random.Next(0x100), (ulong)random.Next());
                    break;
                case 3:
                    _apic.WriteMsr(random.Next(2) == 0 ? TscDeadline : ApicBase, random.Next(2) == 0 ? (ulong)random.NextInt64() : 0xfee00000 | (ulong)random.Next(16) << 8);
                    break;
                case 4:
                    _apic.Lint0.Set(random.Next(2) == 0);
                    _apic.Accept((DeliveryMode)random.Next(8), (byte)random.Next(256), random.Next(2) == 0);
                    break;
                case 5:
                    _clock.Nanoseconds += (ulong)random.Next(10_000);
                    _clock.Timers.RunDue();
                    break;
                default:
                    _apic.Acknowledge();
                    break;
            }
        }
    }

    private sealed class Pic : IVectorSource
    {
        internal byte Vector { get; set; }

        public byte AcknowledgeVector() => Vector;
    }

    private sealed class PvWord : IPvEoi
    {
        internal bool Bit { get; set; }

        public bool TryArm() => Bit = true;

        public bool TryConsume()
        {
            bool cleared = !Bit;
            Bit = false;
            return cleared;
        }
    }
}
