using Godwit.Engine.Cpu;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

public sealed unsafe class EventDeliveryTests
{
    private const ulong Flags = Rflags.Reserved1 | Rflags.CF | Rflags.ZF | Rflags.IF | Rflags.TF | Rflags.NT | Rflags.AC;

    private static Fault Exception(Vector vector, uint? error = null, ulong address = 0) =>
        new() { Vector = (byte)vector, HasErrorCode = error is not null, ErrorCode = error ?? 0, Address = address };

    private static CpuBench Long()
    {
        CpuBench bench = new();
        bench.EnterLong();
        for (int vector = 0; vector < 256; vector++)
            bench.SetGate64(vector);
        return bench;
    }

    private static CpuBench Protected()
    {
        CpuBench bench = new();
        bench.EnterProtected();
        for (int vector = 0; vector < 256; vector++)
            bench.SetGate32(vector);
        return bench;
    }

    [Fact]
    public void LongModeFaultFromUserModePushesSixValuesOnTheTssStack()
    {
        using CpuBench bench = Long();
        bench.DropToUser();
        bench.State.Rip = 0x40_1234;
        bench.State.Gpr[Gpr.RSP] = 0x7123;
        bench.C->SetRflags(Flags);

        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.Deliver(bench.C, Exception(Vector.PF, 6, 0xdead_b000)));

        ulong rsp = bench.State.Gpr[Gpr.RSP];
        Assert.Equal(CpuBench.KernelStack - 48, rsp);
        Assert.Equal(6ul, bench.Read<ulong>(rsp));
        Assert.Equal(0x40_1234ul, bench.Read<ulong>(rsp + 8));
        Assert.Equal((ulong)CpuBench.UserCode64, bench.Read<ulong>(rsp + 16));
        Assert.Equal(Flags | Rflags.RF, bench.Read<ulong>(rsp + 24));
        Assert.Equal(0x7123ul, bench.Read<ulong>(rsp + 32));
        Assert.Equal((ulong)CpuBench.UserData, bench.Read<ulong>(rsp + 40));
        Assert.Equal(CpuBench.Handler(14), bench.State.Rip);
        Assert.Equal(CpuBench.KernelCode, bench.State.Cs.Selector);
        Assert.Equal(0, bench.State.Ss.Selector);
        Assert.Equal(0, bench.State.Cpl);
        Assert.Equal(0xdead_b000ul, bench.State.Cr2);
        Assert.Equal(Flags & ~(Rflags.IF | Rflags.TF | Rflags.NT), bench.C->GetRflags());
        Assert.Equal(Fault.None, bench.Fault.Vector);
    }

    [Fact]
    public void LongModeInterruptOnTheSameLevelAlignsTheStackAndKeepsSs()
    {
        using CpuBench bench = Long();
        bench.State.Gpr[Gpr.RSP] = 0x8007;
        bench.State.Rip = 0x5000;
        bench.C->SetRflags(Flags);
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.DeliverInterrupt(bench.C, 0x30));
        Assert.Equal(0x8000ul - 40, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(0x8007ul, bench.Read<ulong>(0x8000 - 16));
        Assert.Equal(Flags, bench.Read<ulong>(0x8000 - 24));
        Assert.Equal(CpuBench.KernelData, bench.State.Ss.Selector);
    }

    [Theory]
    [InlineData(14, false)]
    [InlineData(15, true)]
    public void ATrapGateKeepsTheInterruptFlagAndAnInterruptGateClearsIt(int type, bool kept)
    {
        using CpuBench bench = Long();
        bench.SetGate64(0x30, type);
        bench.C->SetRflags(Flags);
        EventDelivery.DeliverInterrupt(bench.C, 0x30);
        Assert.Equal(kept, (bench.State.Rflags & Rflags.IF) != 0);
    }

    [Fact]
    public void AnIstGateTakesItsStackOnEveryLevel()
    {
        using CpuBench bench = Long();
        bench.SetGate64(2, ist: 1);
        EventDelivery.DeliverInterrupt(bench.C, 2, EventKind.Nmi);
        Assert.Equal(CpuBench.IstStack - 40, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(CpuBench.KernelData, bench.State.Ss.Selector);
    }

    [Fact]
    public void ProtectedModeFaultFromUserModePushesSsAndEsp()
    {
        using CpuBench bench = Protected();
        bench.DropToUser(code64: false);
        bench.State.Rip = 0x40_1234;
        bench.C->SetRflags(Flags);
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.Deliver(bench.C, Exception(Vector.GP, 0x50)));
        ulong esp = bench.State.Gpr[Gpr.RSP];
        Assert.Equal(CpuBench.KernelStack - 24, esp);
        uint[] frame = [.. Enumerable.Range(0, 6).Select(i => bench.Read<uint>(esp + (ulong)i * 4))];
        Assert.Equal([0x50, 0x40_1234, CpuBench.UserCode32, (uint)(Flags | Rflags.RF), (uint)CpuBench.UserStack, CpuBench.UserData], frame);
        Assert.Equal(CpuBench.KernelData, bench.State.Ss.Selector);
        Assert.Equal(CpuBench.KernelCode, bench.State.Cs.Selector);
        Assert.Equal(CpuBench.Handler(13), bench.State.Rip);
    }

    [Fact]
    public void SixteenBitGatesPushWords()
    {
        using CpuBench bench = Protected();
        bench.SetGate32(0x20, type: 6);
        bench.State.Rip = 0x1_2345;
        EventDelivery.DeliverInterrupt(bench.C, 0x20);
        Assert.Equal(CpuBench.KernelStack - 6, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(0x2345, bench.Read<ushort>(CpuBench.KernelStack - 6));
        Assert.Equal((ushort)CpuBench.Handler(0x20), bench.State.Rip);
    }

    [Fact]
    public void RealModeGoesThroughTheVectorTable()
    {
        using CpuBench bench = new();
        bench.State.Cs.Selector = 0x100;
        bench.State.Cs.Base = 0x1000;
        bench.State.Rip = 0x42;
        bench.State.Ss.Base = 0x2_0000;
        bench.State.Gpr[Gpr.RSP] = 0xabcd_0000_0100;
        bench.C->SetRflags(Rflags.IF | Rflags.CF);
        bench.Write(0x10 * 4, 0xf000_1234u);
        Assert.True(EventDelivery.Software(bench.C, 0x10, EventKind.Software, 0x44));
        Assert.Equal(0x1234ul, bench.State.Rip);
        Assert.Equal(0xf_0000ul, bench.State.Cs.Base);
        Assert.Equal(0xabcd_0000_00faul, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(0x44, bench.Read<ushort>(0x2_00fa));
        Assert.Equal(0x100, bench.Read<ushort>(0x2_00fc));
        Assert.Equal((ushort)(Rflags.IF | Rflags.CF | 2), bench.Read<ushort>(0x2_00fe));
        Assert.Equal(0ul, bench.State.Rflags & Rflags.IF);
    }

    public static TheoryData<int, int, EventKind, bool> GatePrivileges => new()
    {
        { 0x80, 3, EventKind.Software, true },
        { 0x80, 0, EventKind.Software, false },
        { 3, 0, EventKind.SoftwareException, false },
        { 3, 3, EventKind.SoftwareException, true },
        { 1, 0, EventKind.PrivilegedSoftware, true },
    };

    [Theory]
    [MemberData(nameof(GatePrivileges))]
    public void SoftwareInterruptsNeedTheGatesPrivilege(int vector, int dpl, EventKind kind, bool allowed)
    {
        foreach (bool longMode in new[] { true, false })
        {
            using CpuBench bench = longMode ? Long() : Protected();
            if (longMode)
                bench.SetGate64(vector, dpl: dpl);
            else
                bench.SetGate32(vector, dpl: dpl);
            bench.DropToUser(longMode);
            Assert.Equal(allowed, EventDelivery.Software(bench.C, vector, kind, 0x5002));
            if (allowed)
            {
                Assert.Equal(0, bench.State.Cpl);
                continue;
            }
            Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
            Assert.Equal((uint)vector * 8 + 2, bench.Fault.ErrorCode);
            Assert.Equal(3, bench.State.Cpl);
        }
    }

    public enum Spoil
    {
        GateType,
        GateAbsent,
        BeyondIdt,
        NullSelector,
        BeyondGdt,
        DataSegment,
        CodeAbsent,
        OuterCode,
        NotLong,
        TargetNotCanonical,
        TssTooShort,
        StackNotCanonical,
        StackNotMapped,
    }

    /// <summary>The second fault's vector and error code (EXT set, since the first is an exception of the processor).</summary>
    public static TheoryData<Spoil, Vector, uint> Spoils => new()
    {
        { Spoil.GateType, Vector.GP, 0x30 * 8 + 3 },
        { Spoil.GateAbsent, Vector.NP, 0x30 * 8 + 3 },
        { Spoil.BeyondIdt, Vector.GP, 0x30 * 8 + 3 },
        { Spoil.NullSelector, Vector.GP, 1 },
        { Spoil.BeyondGdt, Vector.GP, 0xfff8 | 1 },
        { Spoil.DataSegment, Vector.GP, CpuBench.KernelData | 1 },
        { Spoil.CodeAbsent, Vector.NP, 0x50 | 1 },
        { Spoil.OuterCode, Vector.GP, 0x50 | 1 },
        { Spoil.NotLong, Vector.GP, 0x50 | 1 },
        { Spoil.TargetNotCanonical, Vector.GP, 1 },
        { Spoil.TssTooShort, Vector.TS, CpuBench.TaskSelector | 1 },
        { Spoil.StackNotCanonical, Vector.SS, 1 },
        { Spoil.StackNotMapped, Vector.PF, 2 },
    };

    [Theory]
    [MemberData(nameof(Spoils))]
    public void AFaultOfDeliveryIsDeliveredInsteadOfAnInterrupt(Spoil spoil, Vector vector, uint error)
    {
        using CpuBench bench = Long();
        ulong gate = CpuBench.Idt + 0x30 * 16;
        bench.State.Gpr[Gpr.RSP] = 0x9000;
        bench.SetGate64((int)vector);
        bench.DropToUser();
        // The second fault's handler works in every case.
        for (int v = 0; v < 32; v++)
            bench.SetGate64(v, ist: 1);
        switch (spoil)
        {
            case Spoil.GateType:
                bench.SetGate64(0x30, type: 12);
                break;
            case Spoil.GateAbsent:
                bench.Write(gate + 5, (byte)0x0e);
                break;
            case Spoil.BeyondIdt:
                bench.State.Idtr.Limit = 0x30 * 16 + 14;
                break;
            case Spoil.NullSelector:
                bench.SetGate64(0x30, selector: 3);
                break;
            case Spoil.BeyondGdt:
                bench.SetGate64(0x30, selector: 0xfff8);
                break;
            case Spoil.DataSegment:
                bench.SetGate64(0x30, selector: CpuBench.KernelData);
                break;
            case Spoil.CodeAbsent:
                bench.SetDescriptor(0x50, CpuBench.Descriptor(0x1b, 0xa));
                bench.SetGate64(0x30, selector: 0x50);
                break;
            case Spoil.OuterCode:
                bench.State.Ss.Attributes &= unchecked((ushort)~(3 << 5));
                bench.SetDescriptor(0x50, CpuBench.Descriptor(0xfb, 0xa));
                bench.SetGate64(0x30, selector: 0x50);
                break;
            case Spoil.NotLong:
                bench.SetDescriptor(0x50, CpuBench.Descriptor(0x9b, 0xc));
                bench.SetGate64(0x30, selector: 0x50);
                break;
            case Spoil.TargetNotCanonical:
                bench.Write(gate + 8, 0x8000u);
                break;
            case Spoil.TssTooShort:
                bench.SetGate64(0x30, ist: 7);
                bench.State.Tr.Limit = 0x24 + 7;
                break;
            case Spoil.StackNotCanonical:
                bench.Write(CpuBench.Tss + 4, 1ul << 47);
                break;
            case Spoil.StackNotMapped:
                bench.Write(CpuBench.Tss + 4, 0x4000_0000ul);
                break;
        }
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.DeliverInterrupt(bench.C, 0x30));
        Assert.Equal(CpuBench.Handler((int)vector), bench.State.Rip);
        Assert.Equal(error, bench.Read<uint>(bench.State.Gpr[Gpr.RSP]));
        if (vector == Vector.PF)
            Assert.Equal(0x4000_0000ul - 40, bench.State.Cr2);
    }

    public static TheoryData<Vector, Vector, string> Combinations
    {
        get
        {
            // Intel SDM 3A, table 6-5.
            TheoryData<Vector, Vector, string> table = new();
            Vector[] benign = [Vector.DB, Vector.NMI, Vector.BP, Vector.OF, Vector.BR, Vector.UD, Vector.NM, Vector.MF, Vector.AC, Vector.XM];
            Vector[] contributory = [Vector.DE, Vector.TS, Vector.NP, Vector.SS, Vector.GP];
            foreach (Vector second in new[] { Vector.GP, Vector.PF, Vector.NP })
            {
                foreach (Vector first in benign)
                    table.Add(first, second, "second");
                foreach (Vector first in contributory)
                    table.Add(first, second, second == Vector.PF ? "second" : "double");
                table.Add(Vector.PF, second, "double");
                table.Add(Vector.DF, second, "shutdown");
            }
            return table;
        }
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void TwoExceptionsCombineAsTheTableSays(Vector first, Vector second, string expected)
    {
        using CpuBench bench = Long();
        for (int v = 0; v < 32; v++)
            bench.SetGate64(v, ist: 1);
        // The first exception's gate makes the second one.
        switch (second)
        {
            case Vector.GP:
                bench.SetGate64((int)first, type: 12);
                break;
            case Vector.NP:
                bench.Write(CpuBench.Idt + (ulong)first * 16 + 5, (byte)0x0e);
                break;
            case Vector.PF:
                bench.Write(CpuBench.Tss + 0x2c, 0x4000_0000ul);
                bench.SetGate64((int)first, ist: 2);
                break;
        }
        // An exception whose own gate is spoiled meets it again where it is also the second one.
        bool chain = first == second && expected == "second";
        Assert.False(chain);
        DeliveryOutcome outcome = EventDelivery.Deliver(bench.C, Exception(first, 0));
        if (expected == "shutdown")
        {
            Assert.Equal(DeliveryOutcome.Shutdown, outcome);
            return;
        }
        Assert.Equal(DeliveryOutcome.Delivered, outcome);
        Assert.Equal(CpuBench.Handler(expected == "double" ? (int)Vector.DF : (int)second), bench.State.Rip);
    }

    [Fact]
    public void AnEmptyIdtIsATripleFault()
    {
        using CpuBench bench = Long();
        bench.State.Idtr.Limit = 0;
        Assert.Equal(DeliveryOutcome.Shutdown, EventDelivery.Deliver(bench.C, Exception(Vector.UD)));
        Assert.Equal(Fault.None, bench.Fault.Vector);
    }

    [Fact]
    public void ASingleStepSetsDr6AndDoesNotSetRf()
    {
        using CpuBench bench = Long();
        bench.State.Dr7 |= 1 << 13;
        EventDelivery.RaiseDebug(bench.C, 1 << 14);
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.Deliver(bench.C, bench.C->Fault));
        Assert.Equal(0xffff_0ff0ul | 1 << 14, bench.State.Dr6);
        Assert.Equal(0ul, bench.State.Dr7 & 1 << 13);
        Assert.Equal(0ul, bench.Read<ulong>(bench.State.Gpr[Gpr.RSP] + 16) & Rflags.RF);
    }

    [Fact]
    public void APendingInterruptWaitsForTheFlagAndTheShadowAndEndsHalt()
    {
        using CpuBench bench = Long();
        bench.State.Halted = true;
        bench.Interrupts.Waiting = 0x41;
        Assert.Equal(DeliveryOutcome.None, EventDelivery.DeliverPending(bench.C));
        bench.State.Rflags |= Rflags.IF;
        bench.State.InterruptShadow = true;
        Assert.Equal(DeliveryOutcome.None, EventDelivery.DeliverPending(bench.C));
        bench.State.InterruptShadow = false;
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.DeliverPending(bench.C));
        Assert.Equal(CpuBench.Handler(0x41), bench.State.Rip);
        Assert.False(bench.State.Halted);
    }

    [Fact]
    public void AnNmiComesFirstAndBlocksTheNextUntilIret()
    {
        using CpuBench bench = Long();
        bench.State.Rip = 0x5000;
        bench.State.Rflags |= Rflags.IF;
        bench.Interrupts.Waiting = 0x41;
        bench.Interrupts.Nmi = true;
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.DeliverPending(bench.C));
        Assert.Equal(CpuBench.Handler(2), bench.State.Rip);
        bench.Interrupts.Nmi = true;
        Assert.Equal(DeliveryOutcome.None, EventDelivery.DeliverPending(bench.C));
        Assert.True(bench.State.NmiPending);
        Assert.True(FarControl.Iret(bench.C, 8, 0));
        Assert.Equal(0x5000ul, bench.State.Rip);
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.DeliverPending(bench.C));
        Assert.Equal(CpuBench.Handler(2), bench.State.Rip);
    }

    [Fact]
    public void TheCodeDescriptorIsMarkedAccessed()
    {
        using CpuBench bench = Long();
        bench.SetDescriptor(CpuBench.KernelCode, CpuBench.Descriptor(0x9a, 0xa));
        EventDelivery.DeliverInterrupt(bench.C, 0x30);
        Assert.Equal(0x9b, bench.Read<byte>(CpuBench.Gdt + 8 + 5));
    }

    [Fact]
    public void RandomTablesNeverThrowAndAlwaysEnd()
    {
        int seed = Environment.TickCount;
        Random random = new(seed);
        using CpuBench bench = new();
        byte[] noise = new byte[0x3000];
        for (int round = 0; round < 3_000; round++)
        {
            random.NextBytes(noise);
            if (random.Next(2) == 0)
                bench.EnterLong();
            else
                bench.EnterProtected();
            bench.State.Idtr.Limit = (ushort)random.Next();
            Assert.True(bench.Memory.TryWrite(new(CpuBench.Gdt + 0x100), noise.AsSpan(0, random.Next(noise.Length))));
            if (random.Next(4) == 0)
                bench.State.Gpr[Gpr.RSP] = (ulong)random.NextInt64() << random.Next(3);
            if (random.Next(2) == 0)
                bench.DropToUser();
            try
            {
                EventDelivery.Deliver(bench.C, Exception((Vector)random.Next(32), (uint)random.Next()));
                FarControl.Iret(bench.C, 2 << random.Next(3), 0x1000);
                FarControl.Call(bench.C, (ushort)random.Next(0x10000), (ulong)random.NextInt64(), 2 << random.Next(3), 0x1000);
                FarControl.Return(bench.C, 2 << random.Next(3), random.Next(0x10000));
                Segments.Load(bench.C, random.Next(4) + 2, (ushort)random.Next(0x10000));
                EventDelivery.Software(bench.C, random.Next(256), EventKind.Software, 0x2000);
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed} round {round}: {exception}");
            }
        }
    }
}
