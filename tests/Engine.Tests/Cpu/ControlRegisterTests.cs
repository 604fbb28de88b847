using Godwit.Engine.Cpu;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

public sealed unsafe class ControlRegisterTests
{
    [Fact]
    public void LongModeIsEnteredAndLeftAsTheManualDescribes()
    {
        using CpuBench bench = new();
        RecordingCaches caches = new();
        bench.Vcpu.Translations = caches;
        bench.EnterProtected();
        Assert.True(ControlRegisters.Write(bench.C, 4, Cr4.PAE));
        Assert.True(ControlRegisters.Write(bench.C, 3, CpuBench.Tables));
        Assert.True(Msrs.Write(bench.C, 0xc000_0080, Efer.LME | Efer.SCE | Efer.NXE));
        Assert.False(bench.State.LongMode);
        int flushes = caches.AllFlushes;
        Assert.True(ControlRegisters.Write(bench.C, 0, Cr0.PE | Cr0.PG));
        Assert.True(caches.AllFlushes > flushes);
        Assert.True(bench.State.LongMode);
        Assert.False(bench.State.Mode64);
        Assert.Equal(Efer.LME | Efer.LMA | Efer.SCE | Efer.NXE, bench.State.Efer);
        Assert.Equal(Cr0.PE | Cr0.PG | Cr0.ET, bench.State.Cr0);
        // While active: LME is fixed, PAE is fixed.
        Assert.False(Msrs.Write(bench.C, 0xc000_0080, Efer.SCE));
        Assert.False(ControlRegisters.Write(bench.C, 4, 0));
        Assert.True(Msrs.Write(bench.C, 0xc000_0080, Efer.LME));
        Assert.Equal(Efer.LME | Efer.LMA, bench.State.Efer);
        // From 64-bit code paging stays on; from compatibility mode it can go.
        bench.State.Cs.Attributes = (ushort)(bench.State.Cs.Attributes & ~Segment.DB | Segment.L);
        Assert.False(ControlRegisters.Write(bench.C, 0, Cr0.PE));
        bench.State.Cs.Attributes = (ushort)(bench.State.Cs.Attributes & ~Segment.L | Segment.DB);
        Assert.True(ControlRegisters.Write(bench.C, 0, Cr0.PE));
        Assert.False(bench.State.LongMode);
        Assert.Equal(Efer.LME, bench.State.Efer);
    }

    [Theory]
    [InlineData(Cr0.PG)]
    [InlineData(Cr0.PE | Cr0.NW)]
    [InlineData(1ul << 32 | Cr0.PE)]
    public void Cr0RefusesContradictions(ulong value)
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        Assert.False(ControlRegisters.Write(bench.C, 0, value));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
        Assert.Equal(Cr0.PE | Cr0.ET, bench.State.Cr0);
    }

    [Fact]
    public void EnteringLongModeNeedsPaeAndNoLongCodeSegment()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.State.Efer = Efer.LME;
        Assert.False(ControlRegisters.Write(bench.C, 0, Cr0.PE | Cr0.PG));
        bench.State.Cr4 = Cr4.PAE;
        bench.State.Cs.Attributes |= Segment.L;
        Assert.False(ControlRegisters.Write(bench.C, 0, Cr0.PE | Cr0.PG));
        Assert.Equal(Efer.LME, bench.State.Efer);
    }

    [Fact]
    public void PaePointersAreCheckedWhenTheyAreLoaded()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.State.Cr4 = Cr4.PAE;
        bench.Write(0x5000, 0x6001ul);
        bench.Write(0x5008, 0x7002ul);
        bench.State.Cr3 = 0x5000;
        Assert.True(ControlRegisters.Write(bench.C, 0, Cr0.PE | Cr0.PG));
        bench.Write(0x5008, 0x7003ul);
        Assert.False(ControlRegisters.Write(bench.C, 3, 0x5000));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
    }

    [Theory]
    [InlineData(Cr4.VME, false)]
    [InlineData(Cr4.LA57, false)]
    [InlineData(Cr4.OSXSAVE, false)]
    [InlineData(1ul << 22, false)]
    [InlineData(1ul << 40, false)]
    [InlineData(Cr4.SMEP | Cr4.SMAP | Cr4.FSGSBASE | Cr4.UMIP | Cr4.PCIDE, true)]
    [InlineData(Cr4.PGE | Cr4.PSE | Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.TSD | Cr4.DE | Cr4.MCE | Cr4.PCE, true)]
    public void Cr4HoldsOnlyWhatTheModelHas(ulong bits, bool allowed)
    {
        using CpuBench bench = new();
        bench.EnterLong();
        Assert.Equal(allowed, ControlRegisters.Write(bench.C, 4, Cr4.PAE | bits));
        Assert.Equal(allowed ? Cr4.PAE | bits : Cr4.PAE, bench.State.Cr4);
    }

    [Fact]
    public void AWriteOfCr3KeepsGlobalTranslationsAndRefusesReservedBits()
    {
        using CpuBench bench = new();
        RecordingCaches caches = new();
        bench.Vcpu.Translations = caches;
        bench.EnterLong();
        Assert.True(ControlRegisters.Write(bench.C, 3, 0x12_3000));
        Assert.Equal(0, caches.AllFlushes);
        Assert.Equal(["flush 0", "enter 0"], caches.Spaces);
        Assert.False(ControlRegisters.Write(bench.C, 3, 1ul << Paging.PhysicalBits));
        Assert.Equal(0x12_3000ul, bench.State.Cr3);
    }

    [Fact]
    public void AWriteOfCr3ChoosesAPcidAndMayKeepItsTranslations()
    {
        using CpuBench bench = new();
        RecordingCaches caches = new();
        bench.EnterLong();
        Assert.False(ControlRegisters.Write(bench.C, 3, Cr3.Keep | 0x12_3000));
        Assert.True(ControlRegisters.Write(bench.C, 4, bench.State.Cr4 | Cr4.PCIDE));
        bench.Vcpu.Translations = caches;
        Assert.True(ControlRegisters.Write(bench.C, 3, 0x12_3005));
        Assert.True(ControlRegisters.Write(bench.C, 3, Cr3.Keep | 0x12_4006));
        Assert.Equal(["flush 5", "enter 5", "enter 6"], caches.Spaces);
        Assert.True(ControlRegisters.Read(bench.C, 3, out ulong value));
        Assert.Equal(0x12_4006ul, value);
        Assert.False(ControlRegisters.Write(bench.C, 3, Cr3.Keep | 1ul << Paging.PhysicalBits));
        Assert.Equal(0, caches.AllFlushes);
        Assert.True(ControlRegisters.Write(bench.C, 4, bench.State.Cr4 & ~Cr4.PCIDE));
        Assert.Equal(1, caches.AllFlushes);
    }

    [Fact]
    public void PcidsBeginWithPcidZeroInLongMode()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        Assert.False(ControlRegisters.Write(bench.C, 4, Cr4.PAE | Cr4.PCIDE));
        bench.EnterLong();
        Assert.True(ControlRegisters.Write(bench.C, 3, 0x12_3018));
        Assert.False(ControlRegisters.Write(bench.C, 4, bench.State.Cr4 | Cr4.PCIDE));
        Assert.True(ControlRegisters.Write(bench.C, 3, 0x12_3000));
        Assert.True(ControlRegisters.Write(bench.C, 4, bench.State.Cr4 | Cr4.PCIDE));
        bench.State.Cs.Attributes &= unchecked((ushort)~Segment.L);
        Assert.False(ControlRegisters.Write(bench.C, 0, bench.State.Cr0 & ~Cr0.PG));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
    }

    [Fact]
    public void RegistersThatDoNotExistAreInvalidOpcodes()
    {
        using CpuBench bench = new();
        foreach (int index in new[] { 1, 5, 6, 7, 9, 15 })
        {
            Assert.False(ControlRegisters.Read(bench.C, index, out _));
            Assert.Equal((byte)Vector.UD, bench.Fault.Vector);
            Assert.False(ControlRegisters.Write(bench.C, index, 0));
        }
    }

    [Fact]
    public void Cr8IsTheApicsTaskPriority()
    {
        using CpuBench bench = new();
        Assert.True(ControlRegisters.Write(bench.C, 8, 9));
        Assert.Equal(9, bench.Interrupts.TaskPriority);
        Assert.True(ControlRegisters.Read(bench.C, 8, out ulong value));
        Assert.Equal(9ul, value);
        Assert.False(ControlRegisters.Write(bench.C, 8, 16));
    }

    [Fact]
    public void LmswSetsButNeverClearsProtectionEnable()
    {
        using CpuBench bench = new();
        Assert.True(ControlRegisters.LoadStatusWord(bench.C, 0xfff1));
        Assert.Equal(Cr0.PE | Cr0.ET, bench.State.Cr0);
        Assert.True(ControlRegisters.LoadStatusWord(bench.C, 0x000e));
        Assert.Equal(Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.ET, bench.State.Cr0);
    }

    [Fact]
    public void DebugRegistersKeepTheirFixedBitsAndGeneralDetectTraps()
    {
        using CpuBench bench = new();
        Assert.True(DebugRegisters.Write(bench.C, 7, 0));
        Assert.Equal(0x400ul, bench.State.Dr7);
        Assert.True(DebugRegisters.Write(bench.C, 4, 0));
        Assert.Equal(0xffff_0ff0ul, bench.State.Dr6);
        Assert.False(DebugRegisters.Write(bench.C, 7, 1ul << 32));
        bench.State.Cr4 = Cr4.DE;
        Assert.False(DebugRegisters.Read(bench.C, 5, out _));
        Assert.Equal((byte)Vector.UD, bench.Fault.Vector);
        bench.State.Cr4 = 0;
        Assert.True(DebugRegisters.Write(bench.C, 7, DebugRegisters.GeneralDetect));
        Assert.False(DebugRegisters.Read(bench.C, 0, out _));
        Assert.Equal((byte)Vector.DB, bench.Fault.Vector);
        Assert.Equal(1ul << 13, bench.Fault.Address);
    }
}
