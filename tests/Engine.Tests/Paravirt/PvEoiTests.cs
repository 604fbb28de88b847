using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Memory;
using Godwit.Engine.Paravirt;
using Godwit.Engine.Tests.Devices;
using Xunit;

namespace Godwit.Engine.Tests.Paravirt;

/// <summary>The PV EOI MSR, the guest's word and the local APIC together.</summary>
public sealed class PvEoiTests : IDisposable
{
    private const uint Spurious = 0xf0, InService = 0x110, EndOfInterrupt = 0xb0;
    private const ulong Word = 0x1000;
    private const byte Vector = 0x31;

    private readonly GuestMemory _memory = new(1 << 20);
    private readonly LocalApic _apic;
    private readonly KvmMsrs _msrs;

    public PvEoiTests()
    {
        ManualClock clock = new();
        _apic = new LocalApic(0, bootstrap: true, clock, clock.Timers, new ApicBus(), new NoPic(), () => { });
        _msrs = new KvmMsrs(_memory, clock, settleEoi: _apic.SettlePvEoi);
        _apic.PvEoi = _msrs.PvEoi;
        _apic.WriteMmio(Spurious, 4, 0x1ff);
        _msrs.WriteMsr(KvmMsrs.PvEoiEnable, Word | 1);
    }

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void GuestEndsAnInterruptByItsWordAlone()
    {
        Take();
        _memory.TryWrite(new(Word), [0]);
        Assert.False(InServiceNow());
    }

    [Fact]
    public void ReadingTheApicTakesTheOfferBack()
    {
        Take();
        Assert.True(InServiceNow());
        Span<byte> word = stackalloc byte[1];
        Assert.True(_memory.TryRead(new(Word), word));
        Assert.Equal(0, word[0]);
        Assert.True(InServiceNow());
    }

    [Fact]
    public void InterruptInServiceOutlivesAChangeOfTheWord()
    {
        Take();
        _msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0x2000 | 1);
        Assert.True(InServiceNow());
        _apic.WriteMmio(EndOfInterrupt, 4, 0);
        Assert.False(InServiceNow());
    }

    [Fact]
    public void WordClearedBeforeItIsReplacedStillEndsTheInterrupt()
    {
        Take();
        _memory.TryWrite(new(Word), [0]);
        _msrs.WriteMsr(KvmMsrs.PvEoiEnable, 0);
        Assert.False(InServiceNow());
    }

    private void Take()
    {
        Assert.True(_apic.Accept(DeliveryMode.Fixed, Vector, level: false));
        Assert.Equal(Vector, _apic.Acknowledge());
    }

    private bool InServiceNow() => _apic.ReadMmio(InService, 4) != 0;

    private sealed class NoPic : IVectorSource
    {
        public byte AcknowledgeVector() => 0xff;
    }
}
