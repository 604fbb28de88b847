using Godwit.Engine.Cpu;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

public sealed unsafe class SegmentTests
{
    private const ushort Slot = 0x50;

    /// <summary>Access byte of the descriptor in the slot, RPL, CPL, register, and the fault (or none).</summary>
    public static TheoryData<byte, int, int, int, Vector?> Loads => new()
    {
        // Data segments: max(CPL, RPL) <= DPL.
        { 0x93, 0, 0, SegmentIndex.Ds, null },
        { 0x91, 0, 0, SegmentIndex.Es, null },
        { 0x93, 3, 0, SegmentIndex.Ds, Vector.GP },
        { 0x93, 0, 3, SegmentIndex.Ds, Vector.GP },
        { 0xf3, 3, 3, SegmentIndex.Fs, null },
        { 0xf3, 0, 3, SegmentIndex.Gs, null },
        { 0xf3, 0, 0, SegmentIndex.Ds, null },
        // Code: readable only; conforming on every level.
        { 0x99, 0, 0, SegmentIndex.Ds, Vector.GP },
        { 0x9b, 0, 0, SegmentIndex.Ds, null },
        { 0x9b, 0, 3, SegmentIndex.Ds, Vector.GP },
        { 0x9f, 3, 3, SegmentIndex.Ds, null },
        // Not present, system.
        { 0x13, 0, 0, SegmentIndex.Ds, Vector.NP },
        { 0x89, 0, 0, SegmentIndex.Ds, Vector.GP },
        // Stack: RPL = CPL = DPL, writable data, #SS when absent.
        { 0x93, 0, 0, SegmentIndex.Ss, null },
        { 0x97, 0, 0, SegmentIndex.Ss, null },
        { 0x91, 0, 0, SegmentIndex.Ss, Vector.GP },
        { 0x9b, 0, 0, SegmentIndex.Ss, Vector.GP },
        { 0xf3, 0, 0, SegmentIndex.Ss, Vector.GP },
        { 0x93, 3, 0, SegmentIndex.Ss, Vector.GP },
        { 0xf3, 3, 3, SegmentIndex.Ss, null },
        { 0x13, 0, 0, SegmentIndex.Ss, Vector.SS },
    };

    [Theory]
    [MemberData(nameof(Loads))]
    public void ASegmentRegisterLoadsWhatTheManualAllows(byte access, int rpl, int cpl, int register, Vector? fault)
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.SetDescriptor(Slot, CpuBench.Descriptor((byte)(access & ~1), 0xc, 0x1234_5678, 0xabcde));
        bench.State.Ss.Attributes = (ushort)(bench.State.Ss.Attributes & ~(3 << 5) | cpl << 5);
        Segment before = Segments.Get(bench.C, register);
        ushort selector = (ushort)(Slot | rpl);
        bool done = Segments.Load(bench.C, register, selector);
        Assert.Equal(fault is null, done);
        bool accessed = (bench.Read<byte>(CpuBench.Gdt + Slot + 5) & 1) != 0;
        if (fault is { } vector)
        {
            Assert.Equal((byte)vector, bench.Fault.Vector);
            Assert.Equal((uint)Slot, bench.Fault.ErrorCode);
            Assert.Equal(before, Segments.Get(bench.C, register));
            return;
        }
        Segment loaded = Segments.Get(bench.C, register);
        Assert.Equal(new Segment { Base = 0x1234_5678, Limit = 0xabcd_efff, Selector = selector, Attributes = (ushort)(access | 0xc000 | 1) }, loaded);
        Assert.True(accessed);
    }

    [Fact]
    public void NullSelectorsLoadEverywhereButInSs()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        foreach (int register in new[] { SegmentIndex.Es, SegmentIndex.Ds, SegmentIndex.Fs, SegmentIndex.Gs })
        {
            Assert.True(Segments.Load(bench.C, register, 3));
            Assert.Equal(0, Segments.Get(bench.C, register).Attributes);
        }
        Assert.False(Segments.Load(bench.C, SegmentIndex.Ss, 0));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
        Assert.Equal(0u, bench.Fault.ErrorCode);
    }

    [Theory]
    [InlineData(0, 0, true)]
    [InlineData(0, 1, false)]
    [InlineData(3, 3, false)]
    public void ANullSsOfSixtyFourBitModeNeedsItsLevel(int cpl, ushort selector, bool allowed)
    {
        using CpuBench bench = new();
        bench.EnterLong();
        bench.State.Ss.Attributes = (ushort)(bench.State.Ss.Attributes & ~(3 << 5) | cpl << 5);
        Assert.Equal(allowed, Segments.Load(bench.C, SegmentIndex.Ss, selector));
        Assert.Equal(cpl, bench.State.Cpl);
    }

    [Fact]
    public void SelectorsBeyondTheTableOrWithoutAnLdtAreRefused()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.State.Gdtr.Limit = 0x2f;
        bench.State.Ldtr = default;
        Assert.False(Segments.Load(bench.C, SegmentIndex.Ds, 0x30));
        Assert.Equal(0x30u, bench.Fault.ErrorCode);
        Assert.False(Segments.Load(bench.C, SegmentIndex.Ds, 0x0c));
        Assert.Equal(0x0cu, bench.Fault.ErrorCode);
    }

    [Fact]
    public void AnLdtHoldsDescriptorsToo()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.SetDescriptor(Slot, CpuBench.Descriptor(0x82, 0, (uint)CpuBench.Ldt, 0x1f));
        bench.Write(CpuBench.Ldt + 8, CpuBench.Descriptor(0x93, 0x4, 0x42_0000, 0xff));
        Assert.True(DescriptorRegisters.LoadLdt(bench.C, Slot));
        Assert.True(Segments.Load(bench.C, SegmentIndex.Ds, 0x0c));
        Assert.Equal(0x42_0000ul, bench.State.Ds.Base);
        Assert.Equal(0xffu, bench.State.Ds.Limit);
        Assert.False(Segments.Load(bench.C, SegmentIndex.Ds, 0x24));
    }

    [Fact]
    public void RealModeLoadsShiftTheSelectorAndKeepTheLimit()
    {
        using CpuBench bench = new();
        bench.State.Ds.Limit = 0xffff_ffff;
        Assert.True(Segments.Load(bench.C, SegmentIndex.Ds, 0x1234));
        Assert.Equal(0x1_2340ul, bench.State.Ds.Base);
        Assert.Equal(0xffff_ffffu, bench.State.Ds.Limit);
    }

    [Theory]
    [InlineData(0x93, 0x4, 0xffu, 0xfcu, 4u, true)]
    [InlineData(0x93, 0x4, 0xffu, 0xfdu, 4u, false)]
    [InlineData(0x93, 0xc, 0xf_ffffu, 0xffff_fffcu, 4u, true)]
    [InlineData(0x93, 0xc, 0xf_ffffu, 0xffff_fffdu, 4u, false)]
    [InlineData(0x97, 0x4, 0xffu, 0x100u, 4u, true)]
    [InlineData(0x97, 0x4, 0xffu, 0xffu, 4u, false)]
    [InlineData(0x97, 0x0, 0xffu, 0xfffdu, 4u, false)]
    [InlineData(0x9f, 0x4, 0xffu, 0xfcu, 4u, true)]
    public void LimitsHoldUpwardsAndDownwards(byte access, byte flags, uint limit, uint offset, uint length, bool fits)
    {
        Segment segment = new Descriptor(CpuBench.Descriptor(access, flags, 0, limit)).ToSegment(8);
        Assert.Equal(fits, Segments.Fits(segment, offset, length));
    }

    [Fact]
    public void LtrMarksItsTaskBusyAndRefusesItTheSecondTime()
    {
        foreach (bool longMode in new[] { false, true })
        {
            using CpuBench bench = new();
            if (longMode)
                bench.EnterLong();
            else
                bench.EnterProtected();
            bench.SetDescriptor(Slot, CpuBench.Descriptor(0x89, 0, 0x1234_5678, 0x67));
            bench.Write(CpuBench.Gdt + Slot + 8, longMode ? 0xffff_8000ul : 0);
            Assert.True(DescriptorRegisters.LoadTask(bench.C, Slot));
            Assert.Equal(longMode ? 0xffff_8000_1234_5678ul : 0x1234_5678ul, bench.State.Tr.Base);
            Assert.Equal(0x8b, bench.Read<byte>(CpuBench.Gdt + Slot + 5));
            Assert.False(DescriptorRegisters.LoadTask(bench.C, Slot));
            Assert.Equal((uint)Slot, bench.Fault.ErrorCode);
            Assert.False(DescriptorRegisters.LoadTask(bench.C, 0));
        }
    }

    /// <summary>Access byte, RPL, LAR valid, LSL valid, VERR, VERW; in protected mode at CPL 0.</summary>
    public static TheoryData<byte, int, bool, bool, bool, bool> Queries => new()
    {
        { 0x93, 0, true, true, true, true },
        { 0x91, 0, true, true, true, false },
        { 0x93, 3, false, false, false, false },
        { 0xf3, 3, true, true, true, true },
        { 0x9b, 0, true, true, true, false },
        { 0x99, 0, true, true, false, false },
        { 0x9f, 3, true, true, true, false },
        { 0x89, 0, true, true, false, false },
        { 0x82, 0, true, true, false, false },
        { 0x8c, 0, true, false, false, false },
        { 0x85, 0, true, false, false, false },
        { 0x8e, 0, false, false, false, false },
        { 0x88, 0, false, false, false, false },
    };

    [Theory]
    [MemberData(nameof(Queries))]
    public void SelectorsAreAnsweredForWithoutFaults(byte access, int rpl, bool lar, bool lsl, bool verr, bool verw)
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.SetDescriptor(Slot, CpuBench.Descriptor(access, 0xc, 0x12_3456, 0x1_2345));
        ushort selector = (ushort)(Slot | rpl);
        Assert.True(DescriptorRegisters.AccessRights(bench.C, selector, out bool valid, out uint rights));
        Assert.Equal(lar, valid);
        if (lar)
            Assert.Equal((uint)access << 8 | 0xc1_0000, rights);
        Assert.True(DescriptorRegisters.SegmentLimit(bench.C, selector, out valid, out uint limit));
        Assert.Equal(lsl, valid);
        if (lsl)
            Assert.Equal(0x1234_5fffu, limit);
        Assert.True(DescriptorRegisters.Verify(bench.C, selector, write: false, out valid));
        Assert.Equal(verr, valid);
        Assert.True(DescriptorRegisters.Verify(bench.C, selector, write: true, out valid));
        Assert.Equal(verw, valid);
        Assert.True(DescriptorRegisters.Verify(bench.C, 0xfff8, write: true, out valid));
        Assert.False(valid);
        Assert.True(DescriptorRegisters.SegmentLimit(bench.C, 2, out valid, out _));
        Assert.False(valid);
        Assert.Equal(Fault.None, bench.Fault.Vector);
    }
}
