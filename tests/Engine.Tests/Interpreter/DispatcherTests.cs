using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>Events, exits, translation changes and code changes between and within blocks.</summary>
public sealed unsafe class DispatcherTests
{
    private const ulong Handler = 0x12_0000, PageTable = 0x4000, Remapped = 0x4000_0000;

    [Fact]
    public void AnInterruptWaitsForTheInstructionAfterSti()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(0x40, Handler);
        machine.Load(a => a.mov(ecx, 1), Handler);
        machine.Load(a =>
        {
            a.sti();
            a.mov(ebx, 1);
            a.mov(ebx, 2);
        });
        machine.Interrupts.Raise(0x40);
        machine.Backend.Run(3);
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RCX]);
    }

    [Fact]
    public void AnInterruptThatWaitedComesRightAfterPopf()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(0x40, Handler);
        machine.Load(a => a.hlt(), Handler);
        machine.Load(a =>
        {
            Label again = a.CreateLabel();
            a.mov(ecx, 200);
            a.push(0x202);
            a.Label(ref again);
            a.push(0x002);
            a.popfq();
            a.inc(ebx);
            a.dec(ecx);
            a.jnz(again);
            a.popfq();
            a.inc(ebx);
            a.inc(ebx);
            a.hlt();
        });
        // Warm: the blocks before are linked when it comes.
        machine.Backend.Run(300);
        machine.Interrupts.Raise(0x40);
        machine.RunToHalt();
        Assert.Equal(200ul, machine.State.Gpr[Gpr.RBX]);
    }

    [Fact]
    public void HltEndsWithAnInterrupt()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(0x40, Handler);
        machine.Load(a => a.mov(ecx, 1), Handler);
        machine.Load(a =>
        {
            a.sti();
            a.hlt();
        });
        Assert.Equal(VcpuExit.Halted, machine.Backend.Run(100));
        Assert.Equal(2ul, machine.State.RetiredInstructions);
        Assert.Equal(VcpuExit.Halted, machine.Backend.Run(100));
        machine.Interrupts.Raise(0x40);
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(1));
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RCX]);
        Assert.Equal(TestMachine.Code + 2, machine.Read(machine.State.Gpr[Gpr.RSP]));
    }

    [Fact]
    public void AnNmiComesThroughWithInterruptsOff()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(2, Handler);
        machine.Load(a => a.mov(ecx, 1), Handler);
        machine.Load(a => a.nop());
        machine.Interrupts.RaiseNmi();
        machine.Backend.Run(1);
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RCX]);
        Assert.True(machine.State.NmiBlocked);
    }

    [Fact]
    public void TheTrapFlagTrapsAfterEachInstruction()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(1, Handler);
        machine.Load(a =>
        {
            a.inc(ecx);
            a.iretq();
        }, Handler);
        machine.Load(a =>
        {
            for (int i = 0; i < 10; i++)
                a.inc(eax);
        });
        machine.State.Rflags |= Rflags.TF;
        machine.Backend.Run(3 * 5);
        Assert.Equal(5ul, machine.State.Gpr[Gpr.RAX]);
        Assert.Equal(5ul, machine.State.Gpr[Gpr.RCX]);
        Assert.NotEqual(0ul, machine.State.Dr6 & (1 << 14));
    }

    [Fact]
    public void ARepeatedInstructionTrapsAfterEachIteration()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(1, Handler);
        machine.Load(a =>
        {
            a.inc(ebx);
            a.iretq();
        }, Handler);
        machine.Load(a =>
        {
            a.rep.stosb();
            a.nop();
        });
        machine.State.Gpr[Gpr.RDI] = TestMachine.Data;
        machine.State.Gpr[Gpr.RCX] = 5;
        machine.State.Rflags |= Rflags.TF;
        machine.Backend.Run(5 * 2 + 1);
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RCX]);
        Assert.Equal(5ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(TestMachine.Code + 2, machine.State.Rip);
    }

    [Theory]
    [InlineData(0x0001_0001ul, 0x104, 1)] // one byte, writes
    [InlineData(0x000d_0001ul, 0x104, 1)] // four bytes, writes
    [InlineData(0x000f_0001ul, 0x104, 2)] // four bytes, reads and writes
    [InlineData(0x000b_0001ul, 0x100, 2)] // eight bytes, reads and writes
    [InlineData(0x000f_0001ul, 0x108, 0)]
    [InlineData(0x000f_0000ul, 0x104, 0)]
    public void ADataBreakpointTrapsAfterTheAccess(ulong dr7, int at, int traps)
    {
        using TestMachine machine = new(64);
        machine.SetHandler(1, Handler);
        machine.Load(a =>
        {
            a.inc(ebx);
            a.iretq();
        }, Handler);
        machine.Load(a =>
        {
            a.mov(__byte_ptr[(uint)TestMachine.Data + 0x104], al);
            a.mov(eax, __dword_ptr[(uint)TestMachine.Data + 0x104]);
            a.nop();
        });
        machine.State.Dr0 = TestMachine.Data + (ulong)at;
        machine.State.Dr7 = 0x400 | dr7;
        machine.Backend.Run(3 + traps * 2);
        Assert.Equal((ulong)traps, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(traps > 0 ? 1ul : 0, machine.State.Dr6 & 15);
    }

    [Fact]
    public void AnInstructionBreakpointFaultsUntilTheResumeFlagHidesIt()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(1, Handler);
        machine.Load(a =>
        {
            a.inc(ebx);
            a.or(__dword_ptr[rsp + 16], 1 << 16);
            a.iretq();
        }, Handler);
        machine.Load(a =>
        {
            a.nop();
            a.inc(eax);
            a.inc(eax);
        });
        machine.State.Dr3 = TestMachine.Code + 1;
        machine.State.Dr7 = 0x400 | 1 << 7;
        machine.Backend.Run(3 + 3);
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(2ul, machine.State.Gpr[Gpr.RAX]);
        Assert.Equal(0ul, machine.State.Rflags & Rflags.RF);
    }

    [Fact]
    public void AnInstructionThatAsksForAnExitCompletesFirst()
    {
        using TestMachine machine = new(64);
        Ending device = new(machine);
        machine.Bus.MapMmio(0x800_0000, 0x1000, device, "ending");
        machine.Load(a =>
        {
            a.mov(rbx, 0x800_0000);
            a.mov(__dword_ptr[rbx], eax);
            a.mov(ecx, 1);
        });
        Assert.Equal(VcpuExit.MachineEnded, machine.Backend.Run(100));
        Assert.Equal(2ul, machine.State.RetiredInstructions);
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RCX]);
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(1));
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RCX]);
    }

    [Fact]
    public void InvlpgMakesAChangedMappingEffective()
    {
        using TestMachine machine = new(64);
        MapPage(machine, Remapped, TestMachine.Data | 3);
        machine.Write(TestMachine.Data, 11);
        machine.Write(TestMachine.Data + 0x1000, 22);
        machine.Load(a =>
        {
            a.mov(rbx, Remapped);
            a.mov(rax, __qword_ptr[rbx]);
            a.mov(__qword_ptr[(uint)PageTable], (int)(TestMachine.Data + 0x1000) | 3);
            a.invlpg(__[rbx]);
            a.mov(rcx, __qword_ptr[rbx]);
        });
        machine.Backend.Run(5);
        Assert.Equal(11ul, machine.State.Gpr[Gpr.RAX]);
        Assert.Equal(22ul, machine.State.Gpr[Gpr.RCX]);
    }

    [Fact]
    public void AReadModifyWriteOfAMissingPageFaultsAsAWrite()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(14, Handler);
        machine.Load(a => a.nop(), Handler);
        machine.Load(a =>
        {
            a.mov(rbx, 0x5000_0010);
            a.add(__dword_ptr[rbx], 1);
        });
        machine.Backend.Run(2);
        Assert.Equal(0x5000_0010ul, machine.State.Cr2);
        Assert.Equal(2ul, machine.Read(machine.State.Gpr[Gpr.RSP]) & 7);
    }

    [Fact]
    public void AnInstructionInTwoPagesFollowsTheMappingOfBoth()
    {
        using TestMachine machine = new(64);
        machine.SetHandler(14, Handler);
        machine.Load(a => a.nop(), Handler);
        MapPage(machine, Remapped, TestMachine.Data | 3);
        // MOV EAX, imm32 with its last three bytes in the second page, then RET.
        machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Data + 0xffe), [0xb8, 0x01]);
        machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Data + 0x1000), [0x02, 0x03, 0x04, 0xc3]);
        machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Data + 0x2000), [0x22, 0x33, 0x44, 0xc3]);
        machine.Write(PageTable + 8, (TestMachine.Data + 0x1000) | 3);
        machine.Load(a =>
        {
            a.mov(rbx, Remapped + 0xffe);
            a.call(rbx);
            a.mov(ecx, eax);
            a.mov(__qword_ptr[(uint)PageTable + 8], (int)(TestMachine.Data + 0x2000) | 3);
            a.invlpg(__[rbx + 2]);
            a.call(rbx);
            a.mov(edx, eax);
            a.mov(__qword_ptr[(uint)PageTable + 8], 0);
            a.invlpg(__[rbx + 2]);
            a.call(rbx);
        });
        machine.Backend.Run(15);
        Assert.Equal(0x0403_0201ul, machine.State.Gpr[Gpr.RCX]);
        Assert.Equal(0x4433_2201ul, machine.State.Gpr[Gpr.RDX]);
        Assert.Equal(Remapped + 0x1000, machine.State.Cr2);
        Assert.Equal(Remapped + 0xffe, machine.Read(machine.State.Gpr[Gpr.RSP] + 8));
    }

    [Fact]
    public void CodeOverwrittenThroughAnotherMappingIsSeen()
    {
        using TestMachine machine = new(64);
        MapPage(machine, Remapped, 0x13_0000 | 3);
        machine.Load(a =>
        {
            a.mov(eax, 1);
            a.ret();
        }, 0x13_0000);
        machine.Load(a =>
        {
            a.mov(rbx, 0x13_0000);
            a.mov(rsi, Remapped);
            a.call(rbx);
            a.mov(__byte_ptr[rsi + 1], 9);
            a.call(rbx);
        });
        machine.Backend.Run(9);
        Assert.Equal(9ul, machine.State.Gpr[Gpr.RAX]);
    }

    [Fact]
    public void AnEndlessBudgetNeverEntersOverwrittenCode()
    {
        using TestMachine machine = new(64);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), patched = a.CreateLabel();
            a.xor(edx, edx);
            a.mov(ecx, 100);
            a.Label(ref top);
            a.lea(rbx, __[patched]);
            a.mov(__byte_ptr[rbx + 1], cl);
            a.jmp(patched);
            a.nop();
            a.Label(ref patched);
            a.mov(eax, 0);
            a.add(edx, eax);
            a.dec(ecx);
            a.jnz(top);
            a.hlt();
        });
        Assert.Equal(VcpuExit.Halted, machine.Backend.Run(long.MaxValue));
        Assert.Equal(5050ul, machine.State.Gpr[Gpr.RDX]);
    }

    [Fact]
    public void DataBesideCodeBecomesPlainDataAgainInTheEnd()
    {
        using TestMachine machine = new(64);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.mov(rbx, TestMachine.Code + 0x800);
            a.mov(ecx, 100_000);
            a.Label(ref top);
            a.mov(__qword_ptr[rbx], rcx);
            a.inc(__qword_ptr[rbx + 64]);
            a.dec(ecx);
            a.jnz(top);
        });
        machine.Backend.Run(2 + 4 * 100_000);
        Assert.Equal(1ul, machine.Read(TestMachine.Code + 0x800));
        Assert.Equal(100_000ul, machine.Read(TestMachine.Code + 0x840));
    }

    [Fact]
    public void CodeThatDoesNotFitTheCacheStillRuns()
    {
        using TestMachine machine = new(64, codeBytes: 64 << 10);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            for (int i = 0; i < 4000; i++)
                a.add(eax, i);
            a.jmp(top);
        });
        machine.Backend.Run(4001 * 5);
        Assert.Equal(5u * (3999 * 4000 / 2), (uint)machine.State.Gpr[Gpr.RAX]);
    }

    [Fact]
    public void WritesAfterARevocationAreMarkedAgain()
    {
        using TestMachine machine = new(64);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.mov(rbx, TestMachine.Data);
            a.Label(ref top);
            a.inc(__qword_ptr[rbx]);
            a.jmp(top);
        });
        machine.Backend.Run(11);
        using DirtySession session = machine.Memory.Dirty.Open("test");
        machine.Vcpu.Translations.RevokeWritePermissions();
        machine.Backend.Run(10);
        PageBitmap pages = new(machine.Memory.PageCount);
        session.Collect(pages);
        Assert.Contains(pages.Runs(), run => run.First.Value == TestMachine.Data >> 12);
    }

    [Theory]
    [InlineData(false, 13)]
    [InlineData(true, 12)]
    public void ANonCanonicalAddressIsAGeneralOrAStackFault(bool stack, int vector)
    {
        using TestMachine machine = new(64);
        machine.SetHandler(vector, Handler);
        machine.Load(a => a.mov(ecx, 1), Handler);
        // The handler's frame must not go to the bad stack.
        machine.Write(0xa000 + 0x24, TestMachine.StackTop);
        machine.State.Tr = new Segment { Selector = 0x40, Base = 0xa000, Limit = 0x67, Attributes = Segment.P | 0xb };
        machine.Write(TestMachine.Idt + (ulong)vector * 16, (machine.Read(TestMachine.Idt + (ulong)vector * 16)) | 1ul << 32);
        machine.Load(a =>
        {
            if (stack)
            {
                a.mov(rsp, 0x8000_0000_0000_0000);
                a.push(rax);
            }
            else
            {
                a.mov(rbx, 0x8000_0000_0000_0000);
                a.mov(rax, __qword_ptr[rbx]);
            }
        });
        machine.Backend.Run(2);
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RCX]);
    }

    /// <summary>Maps a page behind the identity map, through a page table of its own.</summary>
    private static void MapPage(TestMachine machine, ulong linear, ulong entry)
    {
        machine.Write(TestMachine.Tables + 0x1000 + (linear >> 30) * 8, 0x5007);
        machine.Write(0x5000 + (linear >> 21 & 511) * 8, PageTable | 7);
        machine.Write(PageTable + (linear >> 12 & 511) * 8, entry);
    }

    private sealed class Ending(TestMachine machine) : IMmioDevice
    {
        public ulong ReadMmio(ulong offset, int size) => 0;

        public void WriteMmio(ulong offset, int size, ulong value) => machine.Vcpu.RequestExit(VcpuExit.MachineEnded);
    }
}
