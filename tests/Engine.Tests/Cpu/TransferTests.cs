using Godwit.Engine.Cpu;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

/// <summary>IRET, far calls and returns, SYSCALL and SYSENTER.</summary>
public sealed unsafe class TransferTests
{
    private static CpuBench Long()
    {
        CpuBench bench = new();
        bench.EnterLong();
        bench.State.Efer |= Efer.SCE;
        bench.State.Star = (ulong)CpuBench.UserCode32 << 48 | (ulong)CpuBench.KernelCode << 32 | 0x12_3456;
        bench.State.Lstar = 0xffff_ffff_8000_1000;
        bench.State.Cstar = 0xffff_ffff_8000_2000;
        bench.State.Fmask = Rflags.IF | Rflags.TF | Rflags.DF;
        return bench;
    }

    private static void Frame(CpuBench bench, params ulong[] values)
    {
        ulong rsp = bench.State.Gpr[Gpr.RSP] = CpuBench.KernelStack - 0x80;
        for (int i = 0; i < values.Length; i++)
            bench.Write(rsp + (ulong)i * 8, values[i]);
    }

    [Fact]
    public void IretFromAHandlerRestoresWhatDeliverySaved()
    {
        using CpuBench bench = Long();
        bench.SetGate64(0x30);
        bench.DropToUser();
        bench.State.Rip = 0x40_0000;
        bench.State.Gpr[Gpr.RSP] = 0x7ff3;
        ulong flags = Rflags.Reserved1 | Rflags.IF | Rflags.OF | Rflags.PF | Rflags.AC | Rflags.ID;
        bench.C->SetRflags(flags);
        CpuState before = bench.State;
        EventDelivery.DeliverInterrupt(bench.C, 0x30);
        bench.C->SetRflags(0);
        Assert.True(FarControl.Iret(bench.C, 8, 0));
        Assert.Equal(before.Rip, bench.State.Rip);
        Assert.Equal(before.Gpr[Gpr.RSP], bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(before.Cs, bench.State.Cs);
        Assert.Equal(before.Ss, bench.State.Ss);
        Assert.Equal(flags, bench.C->GetRflags());
    }

    [Fact]
    public void IretToUserModeDropsKernelDataSegmentsButNotTheBasesOfNullOnes()
    {
        using CpuBench bench = Long();
        bench.State.Fs = new Segment { Base = 0x7f12_3456_7000 };
        Frame(bench, 0x40_0000, CpuBench.UserCode64, Rflags.IF, 0x7000, CpuBench.UserData);
        Assert.True(FarControl.Iret(bench.C, 8, 0));
        Assert.Equal(0, bench.State.Ds.Selector);
        Assert.Equal(0, bench.State.Ds.Attributes);
        Assert.Equal(0x7f12_3456_7000ul, bench.State.Fs.Base);
        Assert.Equal(3, bench.State.Cpl);
    }

    [Fact]
    public void IretToCompatibilityModeWithASixteenBitStackKeepsTheUpperStackPointer()
    {
        using CpuBench bench = Long();
        bench.SetDescriptor(0x50, CpuBench.Descriptor(0xf3, 0x0));
        Frame(bench, 0x1000, CpuBench.UserCode32, 2, 0x1111_2222, 0x53);
        Assert.True(FarControl.Iret(bench.C, 8, 0));
        Assert.Equal((CpuBench.KernelStack & ~0xfffful) | 0x2222, bench.State.Gpr[Gpr.RSP]);
        Assert.False(bench.State.Mode64);
    }

    [Theory]
    [InlineData(0x0000_0000ul, CpuBench.UserData, Vector.GP, 0u)]
    [InlineData(0xfff8ul, CpuBench.UserData, Vector.GP, 0xfff8u)]
    [InlineData((ulong)CpuBench.UserData, CpuBench.UserData, Vector.GP, 0x20u)]
    [InlineData((ulong)CpuBench.UserCode64, 0, Vector.GP, 0u)]
    [InlineData((ulong)CpuBench.UserCode64, CpuBench.KernelData, Vector.GP, 0x10u)]
    [InlineData((ulong)CpuBench.KernelCode | 3, CpuBench.UserData, Vector.GP, 0x08u)]
    public void IretRefusesBadSelectorsAndChangesNothing(ulong cs, ushort ss, Vector vector, uint error)
    {
        using CpuBench bench = Long();
        Frame(bench, 0x40_0000, cs, Rflags.IF, 0x7000, ss);
        CpuState before = bench.State;
        Assert.False(FarControl.Iret(bench.C, 8, 0));
        Assert.Equal((byte)vector, bench.Fault.Vector);
        Assert.Equal(error, bench.Fault.ErrorCode);
        Assert.True(Same(before, bench.State));
    }

    private static bool Same(CpuState left, CpuState right) =>
        new ReadOnlySpan<byte>(&left, sizeof(CpuState)).SequenceEqual(new ReadOnlySpan<byte>(&right, sizeof(CpuState)));

    [Fact]
    public void UserModeCannotChangeTheInterruptFlagOrIoplByIret()
    {
        using CpuBench bench = Long();
        bench.DropToUser();
        ulong rsp = bench.State.Gpr[Gpr.RSP] = 0x6000;
        ulong[] frame = [0x40_0000, CpuBench.UserCode64, Rflags.IOPL | Rflags.CF, 0x7000, CpuBench.UserData];
        for (int i = 0; i < frame.Length; i++)
            bench.Write(rsp + (ulong)i * 8, frame[i]);
        bench.C->SetRflags(Rflags.IF);
        Assert.True(FarControl.Iret(bench.C, 8, 0));
        Assert.Equal(Rflags.IF | Rflags.CF | 2, bench.C->GetRflags());
    }

    [Fact]
    public void IretWithNtIsRefusedInLongModeAndVm86IsRefused()
    {
        using CpuBench bench = Long();
        bench.State.Rflags |= Rflags.NT;
        Assert.False(FarControl.Iret(bench.C, 8, 0));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);

        using CpuBench legacy = new();
        legacy.EnterProtected();
        legacy.State.Gpr[Gpr.RSP] = 0x6000;
        legacy.Write(0x6004, (uint)CpuBench.KernelCode);
        legacy.Write(0x6008, (uint)Rflags.VM);
        Assert.False(FarControl.Iret(legacy.C, 4, 0));
        Assert.Equal((byte)Vector.GP, legacy.Fault.Vector);
    }

    [Fact]
    public void SyscallAndSysretGoThereAndBack()
    {
        using CpuBench bench = Long();
        bench.DropToUser();
        ulong flags = Rflags.Reserved1 | Rflags.IF | Rflags.DF | Rflags.CF;
        bench.C->SetRflags(flags);
        CpuState before = bench.State;
        Assert.True(Syscalls.Syscall(bench.C, 0x40_0002));
        Assert.Equal(bench.State.Lstar, bench.State.Rip);
        Assert.Equal(0x40_0002ul, bench.State.Gpr[Gpr.RCX]);
        Assert.Equal(flags, bench.State.Gpr[11]);
        Assert.Equal(Rflags.Reserved1 | Rflags.CF, bench.C->GetRflags());
        Assert.Equal(0, bench.State.Cpl);
        Assert.Equal(CpuBench.KernelCode, bench.State.Cs.Selector);
        Assert.Equal(CpuBench.KernelData, bench.State.Ss.Selector);
        Assert.True(bench.State.Mode64);
        Assert.True(Syscalls.Sysret(bench.C, 8));
        Assert.Equal(0x40_0002ul, bench.State.Rip);
        Assert.Equal(before.Cs, bench.State.Cs);
        Assert.Equal(before.Ss, bench.State.Ss);
        Assert.Equal(flags, bench.C->GetRflags());
    }

    [Fact]
    public void SyscallFromCompatibilityModeEntersAtCstarAndSysretlGoesBack()
    {
        using CpuBench bench = Long();
        bench.DropToUser(code64: false);
        Assert.True(Syscalls.Syscall(bench.C, 0x1002));
        Assert.Equal(bench.State.Cstar, bench.State.Rip);
        Assert.True(Syscalls.Sysret(bench.C, 4));
        Assert.Equal(CpuBench.UserCode32, bench.State.Cs.Selector);
        Assert.False(bench.State.Mode64);
        Assert.Equal(0x1002ul, bench.State.Rip);
    }

    [Fact]
    public void SyscallsAreRefusedWhereTheyDoNotExist()
    {
        using CpuBench bench = Long();
        bench.State.Efer &= ~Efer.SCE;
        Assert.False(Syscalls.Syscall(bench.C, 2));
        Assert.Equal((byte)Vector.UD, bench.Fault.Vector);
        Assert.False(Syscalls.Sysret(bench.C, 8));
        Assert.Equal((byte)Vector.UD, bench.Fault.Vector);
        bench.State.Efer |= Efer.SCE;
        bench.State.Gpr[Gpr.RCX] = 1ul << 47;
        Assert.False(Syscalls.Sysret(bench.C, 8));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
        bench.DropToUser();
        Assert.False(Syscalls.Sysret(bench.C, 8));
        Assert.Equal((byte)Vector.GP, bench.Fault.Vector);
        Assert.False(Syscalls.Sysenter(bench.C));
        Assert.Equal((byte)Vector.UD, bench.Fault.Vector);
    }

    [Fact]
    public void SysenterAndSysexitWorkInProtectedMode()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.State.SysenterCs = CpuBench.KernelCode;
        bench.State.SysenterEip = 0x1_2345;
        bench.State.SysenterEsp = 0x8000;
        bench.DropToUser(code64: false);
        bench.State.Rflags |= Rflags.IF;
        Assert.True(Syscalls.Sysenter(bench.C));
        Assert.Equal(0x1_2345ul, bench.State.Rip);
        Assert.Equal(0x8000ul, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(0, bench.State.Cpl);
        Assert.Equal(0ul, bench.State.Rflags & Rflags.IF);
        bench.State.Gpr[Gpr.RDX] = 0x4000;
        bench.State.Gpr[Gpr.RCX] = 0x7000;
        Assert.True(Syscalls.Sysexit(bench.C));
        Assert.Equal(3, bench.State.Cpl);
        Assert.Equal(0x4000ul, bench.State.Rip);
        Assert.Equal(0x7000ul, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(CpuBench.KernelCode + 16 | 3, bench.State.Cs.Selector);
    }

    [Fact]
    public void AProtectedModeCallGateSwitchesStacksAndCopiesParameters()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.SetDescriptor(0x50, 0x5678 | (ulong)CpuBench.KernelCode << 16 | 2ul << 32 | 0xecul << 40 | 1ul << 48);
        bench.DropToUser(code64: false);
        bench.Write(CpuBench.UserStack, 0xaaaa_aaaau);
        bench.Write(CpuBench.UserStack + 4, 0xbbbb_bbbbu);
        Assert.True(FarControl.Call(bench.C, 0x53, 0xffff_ffff, 4, 0x40_0007));
        Assert.Equal(0x1_5678ul, bench.State.Rip);
        ulong esp = bench.State.Gpr[Gpr.RSP];
        Assert.Equal(CpuBench.KernelStack - 24, esp);
        uint[] frame = [.. Enumerable.Range(0, 6).Select(i => bench.Read<uint>(esp + (ulong)i * 4))];
        Assert.Equal([0x40_0007, CpuBench.UserCode32, 0xaaaa_aaaa, 0xbbbb_bbbb, (uint)CpuBench.UserStack, CpuBench.UserData], frame);
        Assert.Equal(0, bench.State.Cpl);

        Assert.True(FarControl.Return(bench.C, 4, 8));
        Assert.Equal(0x40_0007ul, bench.State.Rip);
        Assert.Equal(CpuBench.UserStack + 8, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(3, bench.State.Cpl);
    }

    [Fact]
    public void ALongModeCallGateEntersThroughTheTssStackWithANullSs()
    {
        using CpuBench bench = Long();
        bench.SetDescriptor(0x50, 0x5678 | (ulong)CpuBench.KernelCode << 16 | 0xecul << 40 | 1ul << 48);
        bench.Write(CpuBench.Gdt + 0x58, 0xffff_8000ul);
        bench.DropToUser();
        Assert.True(FarControl.Call(bench.C, 0x53, 0, 4, 0x40_0007));
        Assert.Equal(0xffff_8000_0001_5678ul, bench.State.Rip);
        Assert.Equal(CpuBench.KernelStack - 32, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(0, bench.State.Ss.Selector);
        Assert.Equal((ulong)CpuBench.UserCode64, bench.Read<ulong>(CpuBench.KernelStack - 24));
    }

    [Fact]
    public void AFarJumpEntersCompatibilityModeAndComesBack()
    {
        using CpuBench bench = Long();
        bench.SetDescriptor(0x50, CpuBench.Descriptor(0x9b, 0xc));
        Assert.True(FarControl.Jump(bench.C, 0x50, 0x1_0000_2000, 4, 0));
        Assert.False(bench.State.Mode64);
        Assert.Equal(0x2000ul, bench.State.Rip);
        Assert.True(FarControl.Jump(bench.C, CpuBench.KernelCode, 0x3000, 4, 0));
        Assert.True(bench.State.Mode64);
    }

    [Fact]
    public void RealModeFarCallAndReturn()
    {
        using CpuBench bench = new();
        bench.State.Ss.Base = 0x2_0000;
        bench.State.Gpr[Gpr.RSP] = 0x100;
        bench.State.Cs.Selector = 0x1000;
        bench.State.Cs.Base = 0x1_0000;
        Assert.True(FarControl.Call(bench.C, 0x2000, 0x42, 2, 0x105));
        Assert.Equal(0x2_0000ul, bench.State.Cs.Base);
        Assert.Equal(0x42ul, bench.State.Rip);
        Assert.Equal(0xfcul, bench.State.Gpr[Gpr.RSP]);
        Assert.True(FarControl.Return(bench.C, 2, 4));
        Assert.Equal(0x1_0000ul, bench.State.Cs.Base);
        Assert.Equal(0x105ul, bench.State.Rip);
        Assert.Equal(0x104ul, bench.State.Gpr[Gpr.RSP]);
    }

    [Fact]
    public void ATaskSwitchSavesOneTaskAndLoadsTheOther()
    {
        using CpuBench bench = new();
        const ulong Other = 0x3800;
        bench.EnterProtected();
        bench.SetDescriptor(0x48, CpuBench.Descriptor(0x89, 0, (uint)Other, 0x67));
        bench.Write(Other + 32, 0x7_0000u);
        bench.Write(Other + 36, (uint)(Rflags.Reserved1 | Rflags.CF));
        bench.Write(Other + 40, 0x1111u);
        bench.Write(Other + 56, 0x9000u);
        ushort[] selectors = [CpuBench.KernelData, CpuBench.KernelCode, CpuBench.KernelData, CpuBench.KernelData, 0, 0];
        for (int i = 0; i < 6; i++)
            bench.Write(Other + 72 + (ulong)i * 4, (uint)selectors[i]);
        bench.State.Gpr[Gpr.RAX] = 0x2222;
        Assert.True(FarControl.Call(bench.C, 0x48, 0, 4, 0x5005));
        Assert.Equal(0x7_0000ul, bench.State.Rip);
        Assert.Equal(0x1111ul, bench.State.Gpr[Gpr.RAX]);
        Assert.Equal(0x9000ul, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(Rflags.Reserved1 | Rflags.CF | Rflags.NT, bench.C->GetRflags());
        Assert.Equal(CpuBench.TaskSelector, bench.Read<ushort>(Other));
        Assert.Equal(0x5005u, bench.Read<uint>(CpuBench.Tss + 32));
        Assert.Equal(0x2222u, bench.Read<uint>(CpuBench.Tss + 40));
        Assert.Equal(0x8b, bench.Read<byte>(CpuBench.Gdt + 0x48 + 5));
        Assert.NotEqual(0ul, bench.State.Cr0 & Cr0.TS);

        Assert.True(FarControl.Iret(bench.C, 4, 0x7_0002));
        Assert.Equal(0x5005ul, bench.State.Rip);
        Assert.Equal(0x2222ul, bench.State.Gpr[Gpr.RAX]);
        Assert.Equal(CpuBench.TaskSelector, bench.State.Tr.Selector);
        Assert.Equal(0x89, bench.Read<byte>(CpuBench.Gdt + 0x48 + 5));
        Assert.Equal(0x7_0002u, bench.Read<uint>(Other + 32));
    }

    [Fact]
    public void ATaskGateTakesADoubleFaultWithItsErrorCode()
    {
        using CpuBench bench = new();
        const ulong Other = 0x3800;
        bench.EnterProtected();
        bench.SetDescriptor(0x48, CpuBench.Descriptor(0x89, 0, (uint)Other, 0x67));
        bench.Write(Other + 32, 0x7_0000u);
        bench.Write(Other + 56, 0x9000u);
        bench.Write(Other + 72 + 4, (uint)CpuBench.KernelCode);
        bench.Write(Other + 72 + 8, (uint)CpuBench.KernelData);
        bench.Write(CpuBench.Idt + 8 * 8, (ulong)0x48 << 16 | 0x85ul << 40);
        Assert.Equal(DeliveryOutcome.Delivered, EventDelivery.Deliver(bench.C, new Fault { Vector = (byte)Vector.DF, HasErrorCode = true }));
        Assert.Equal(0x7_0000ul, bench.State.Rip);
        Assert.Equal(0x8ffcul, bench.State.Gpr[Gpr.RSP]);
        Assert.Equal(CpuBench.Handlers, bench.Read<uint>(CpuBench.Tss + 32));
    }
}
