using Godwit.Engine.Cpu;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Cpu;

/// <summary>The system instructions, executed.</summary>
public sealed unsafe class SystemInstructionTests
{
    private const ushort Port = 0x5100;

    [Fact]
    public void RealModeReachesSixtyFourBitUserModeAndComesBackThroughSyscall()
    {
        using InstructionBench bench = new();
        CpuBench cpu = bench.Cpu;
        const ulong Protected = 0x2_1000, Long = 0x2_2000, User = 0x2_3000, Entry = 0x2_4000, GdtPointer = 0x2_5000;
        // The tables that the guest would have built; the code does the rest.
        cpu.EnterLong();
        CpuReset.Apply(ref cpu.State);
        cpu.SetDescriptor(0x58, CpuBench.Descriptor(0x9b, 0xc));
        cpu.Write(GdtPointer, (ushort)0xfff);
        cpu.Write(GdtPointer + 2, (uint)CpuBench.Gdt);
        cpu.SetDescriptor(0x60, CpuBench.Descriptor(0x89, 0, (uint)CpuBench.Tss, 0x67));
        cpu.Write(CpuBench.Gdt + 0x68, 0ul);
        cpu.State.Cs.Selector = 0x2000;
        cpu.State.Cs.Base = 0x2_0000;
        cpu.State.Rip = 0;
        bench.Load(16, 0x2_0000, a =>
        {
            a.mov(ax, 0x2000);
            a.mov(ds, ax);
            a.lgdt(__[0x5000]);
            a.mov(eax, cr0);
            a.or(al, 1);
            a.mov(cr0, eax);
            a.db(0x66, 0xea, 0x00, 0x10, 0x02, 0x00, 0x58, 0x00); // jmp far 0x58:0x21000
        }, 0);
        bench.Load(32, Protected, a =>
        {
            a.mov(ax, CpuBench.KernelData);
            a.mov(ds, ax);
            a.mov(ss, ax);
            a.mov(esp, (uint)CpuBench.KernelStack);
            a.mov(eax, cr4);
            a.or(eax, (uint)Cr4.PAE);
            a.mov(cr4, eax);
            a.mov(eax, (uint)CpuBench.Tables);
            a.mov(cr3, eax);
            a.mov(ecx, 0xc000_0080);
            a.rdmsr();
            a.or(eax, (uint)(Efer.LME | Efer.SCE));
            a.wrmsr();
            a.mov(eax, cr0);
            a.or(eax, 0x8000_0000);
            a.mov(cr0, eax);
            a.db(0xea, 0x00, 0x20, 0x02, 0x00, 0x08, 0x00); // jmp far 0x08:0x22000
        });
        bench.Load(64, Long, a =>
        {
            a.mov(ax, 0x60);
            a.ltr(ax);
            a.mov(ecx, 0xc000_0081);
            a.xor(eax, eax);
            a.mov(edx, (uint)CpuBench.UserCode32 << 16 | CpuBench.KernelCode);
            a.wrmsr();
            a.inc(ecx);
            a.mov(eax, (uint)Entry);
            a.xor(edx, edx);
            a.wrmsr();
            a.mov(ecx, (uint)User);
            a.mov(r11d, 0x202);
            a.sysretq();
        });
        bench.Load(64, User, a =>
        {
            a.mov(ebx, 0x1234);
            a.syscall();
            a.add(ebx, 1);
            a.syscall();
        });
        bench.Load(64, Entry, a =>
        {
            Label done = a.CreateLabel();
            a.inc(r8d);
            a.cmp(r8d, 2);
            a.je(done);
            a.sysretq();
            a.Label(ref done);
            a.cli();
            a.hlt();
        });
        Assert.Equal(VcpuExit.Halted, bench.Run());
        Assert.Equal(0x1235ul, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(2ul, bench.State.Gpr[8]);
        Assert.True(bench.State.Mode64);
        Assert.Equal(0, bench.State.Cpl);
        Assert.Equal((ushort)0x60, bench.State.Tr.Selector);
    }

    public static TheoryData<string> Privileged => [.. _privileged.Keys];

    private static readonly Dictionary<string, Action<Assembler>> _privileged = new()
    {
        ["hlt"] = a => a.hlt(),
        ["cli"] = a => a.cli(),
        ["sti"] = a => a.sti(),
        ["in"] = a => a.@in(al, dx),
        ["out"] = a => a.@out(dx, eax),
        ["outsb"] = a => a.outsb(),
        ["mov from cr0"] = a => a.mov(rax, cr0),
        ["mov to cr3"] = a => a.mov(cr3, rax),
        ["mov from dr7"] = a => a.mov(rax, dr7),
        ["clts"] = a => a.clts(),
        ["lmsw"] = a => a.lmsw(ax),
        ["lgdt"] = a => a.lgdt(__[rsp]),
        ["lidt"] = a => a.lidt(__[rsp]),
        ["lldt"] = a => a.lldt(ax),
        ["ltr"] = a => a.ltr(ax),
        ["rdmsr"] = a => a.rdmsr(),
        ["wrmsr"] = a => a.wrmsr(),
        ["rdpmc"] = a => a.rdpmc(),
        ["invlpg"] = a => a.invlpg(__[rsp]),
        ["wbinvd"] = a => a.wbinvd(),
        ["invd"] = a => a.invd(),
        ["swapgs"] = a => a.swapgs(),
        ["sysretq"] = a => a.sysretq(),
        ["int 0x10"] = a => a.@int(0x10),
    };

    [Theory]
    [MemberData(nameof(Privileged))]
    public void UserModeGetsAGeneralProtectionFault(string what)
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.DropToUser();
        bench.State.Efer |= Efer.SCE;
        bench.Execute(64, _privileged[what]);
        Assert.Equal((int)Vector.GP, bench.Vector);
        Assert.Equal(InstructionBench.Code, bench.Cpu.Read<ulong>(bench.State.Gpr[Gpr.RSP] + 8));
    }

    public static TheoryData<string> Undefined => [.. _undefined.Keys];

    private static readonly Dictionary<string, Action<Assembler>> _undefined = new()
    {
        ["ud2"] = a => a.ud2(),
        ["rsm"] = a => a.rsm(),
        ["monitor"] = a => a.monitor(),
        ["mwait"] = a => a.mwait(),
        ["xgetbv"] = a => a.xgetbv(),
        ["xsetbv"] = a => a.xsetbv(),
        ["vmrun"] = a => a.vmrun(),
        ["rdpid"] = a => a.rdpid(rax),
        ["rdfsbase without CR4"] = a => a.rdfsbase(rax),
        ["sysenter"] = a => a.sysenter(),
        ["mov to cs"] = a => a.db(0x8e, 0xc8),
        ["mov from cr1"] = a => a.db(0x0f, 0x20, 0xc8),
    };

    [Theory]
    [MemberData(nameof(Undefined))]
    public void WhatTheModelDoesNotHaveIsUndefined(string what)
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Execute(64, _undefined[what]);
        Assert.Equal((int)Vector.UD, bench.Vector);
    }

    [Fact]
    public void StiHoldsInterruptsForOneInstructionSoThatHltIsWokenAndNotMissed()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.SetGate64(0x41);
        bench.Load(64, CpuBench.Handler(0x41), a =>
        {
            a.inc(ebx);
            a.iretq();
        });
        bench.Cpu.Interrupts.Waiting = 0x41;
        bench.Execute(64, a =>
        {
            a.sti();
            a.hlt();
            a.mov(ecx, ebx);
            a.cli();
        });
        Assert.Equal(1ul, bench.State.Gpr[Gpr.RCX]);
        Assert.Equal(InstructionBench.Code + 6, bench.State.Rip);
    }

    [Fact]
    public void AMoveToSsHoldsInterruptsForOneInstruction()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.SetGate64(0x41);
        bench.State.Rflags |= Rflags.IF;
        bench.Load(64, InstructionBench.Code, a =>
        {
            a.mov(eax, CpuBench.KernelData);
            a.mov(ss, ax);
            a.mov(ecx, 7);
            a.mov(ebx, 8);
        });
        Assert.Equal(VcpuExit.Interrupted, bench.Run(2));
        Assert.True(bench.State.InterruptShadow);
        bench.Cpu.Interrupts.Waiting = 0x41;
        Assert.Equal(VcpuExit.Interrupted, bench.Run(1));
        Assert.Equal(7ul, bench.State.Gpr[Gpr.RCX]);
        bench.Load(64, CpuBench.Handler(0x41), a => a.hlt());
        Assert.Equal(VcpuExit.Halted, bench.Run());
        Assert.Equal(0ul, bench.State.Gpr[Gpr.RBX]);
    }

    [Fact]
    public void PortsAreReadAndWrittenInTheirSize()
    {
        using InstructionBench bench = InstructionBench.Long();
        RecordingPorts ports = new();
        bench.Cpu.Bus.MapPorts(Port, 8, ports, "test");
        bench.Cpu.Bus.MapPorts(0x70, 1, ports, "immediate");
        bench.State.Gpr[Gpr.RAX] = 0xffff_ffff_1122_3344;
        bench.Execute(64, a =>
        {
            a.mov(edx, Port);
            a.@out(dx, al);
            a.@out(dx, ax);
            a.@out(dx, eax);
            a.@out(0x70, al);
            a.@in(al, dx);
            a.mov(rbx, rax);
            a.@in(eax, dx);
        });
        Assert.Equal([(0, 1, 0x44u), (0, 2, 0x3344), (0, 4, 0x1122_3344), (0, 1, 0x44)], ports.Writes);
        Assert.Equal(0xffff_ffff_1122_33a0, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(0xa1ul, bench.State.Gpr[Gpr.RAX]);
    }

    [Theory]
    [InlineData(0xfeu, 1, true)]
    [InlineData(0xfdu, 1, false)]
    [InlineData(0xfcu, 2, false)]
    public void ThePermissionMapOpensPortsToUserMode(uint bits, int size, bool open)
    {
        using InstructionBench bench = InstructionBench.Long();
        RecordingPorts ports = new();
        bench.Cpu.Bus.MapPorts(Port, 8, ports, "test");
        bench.Cpu.DropToUser();
        // The map stands right behind the TSS; Port + 1 is bit 1 of its byte.
        const ushort Map = 0x68;
        bench.Cpu.Write(CpuBench.Tss + 0x66, Map);
        bench.Cpu.Write(CpuBench.Tss + Map + Port / 8, (ushort)0xffff);
        bench.Cpu.Write(CpuBench.Tss + Map + Port / 8, (byte)~bits);
        bench.State.Tr.Limit = Map + Port / 8 + 1;
        bench.Load(64, InstructionBench.Code, a =>
        {
            a.mov(edx, Port + 1);
            if (size == 1)
                a.@in(al, dx);
            else
                a.@in(ax, dx);
            a.hlt();
        });
        Assert.Equal(VcpuExit.Halted, bench.Run());
        Assert.Equal(open ? 1 : 0, ports.Reads);
        Assert.Equal((int)Vector.GP, bench.Vector);
    }

    [Fact]
    public void StringsOfPortsGoElementByElementAndFaultBeforeThePortIsRead()
    {
        using InstructionBench bench = InstructionBench.Long();
        RecordingPorts ports = new();
        bench.Cpu.Bus.MapPorts(Port, 8, ports, "test");
        bench.Cpu.Write(0x3_0000, 0x0807_0605_0403_0201ul);
        bench.Execute(64, a =>
        {
            a.mov(edx, Port);
            a.mov(esi, 0x3_0000);
            a.mov(ecx, 3);
            a.rep.outsw();
            a.mov(edi, 0x3_1000);
            a.mov(ecx, 4);
            a.rep.insb();
            a.mov(rdi, 0x7fff_ffff_fff0);
            a.insb();
        });
        Assert.Equal([(0, 2, 0x0201u), (0, 2, 0x0403), (0, 2, 0x0605)], ports.Writes);
        Assert.Equal(0xa3a2_a1a0, bench.Cpu.Read<uint>(0x3_1000));
        Assert.Equal((int)Vector.PF, bench.Vector);
        Assert.Equal(4, ports.Reads);
        Assert.Equal(0x7fff_ffff_fff0ul, bench.State.Cr2);
    }

    [Fact]
    public void ARepeatedPortStringLetsOthersInBetweenItsElements()
    {
        using InstructionBench bench = InstructionBench.Long();
        RecordingPorts ports = new() { OnWrite = bench.Cpu.Vcpu.Kick };
        bench.Cpu.Bus.MapPorts(Port, 8, ports, "test");
        bench.Load(64, InstructionBench.Code, a =>
        {
            a.mov(edx, Port);
            a.mov(esi, 0x3_0000);
            a.mov(ecx, 5);
            a.rep.outsb();
            a.hlt();
        });
        int runs = 1;
        while (bench.Run() != VcpuExit.Halted)
        {
            runs++;
            Assert.True(runs < 20);
        }
        Assert.Equal(5, ports.Writes.Count);
        Assert.True(runs >= 5);
        Assert.Equal(0x3_0005ul, bench.State.Gpr[Gpr.RSI]);
        Assert.Equal(5ul, bench.State.RetiredInstructions);
    }

    [Fact]
    public void ALongStringInstructionReturnsSoThatTimersCanRun()
    {
        using InstructionBench bench = InstructionBench.Protected();
        bench.Load(32, InstructionBench.Code, a =>
        {
            a.mov(edx, Port);
            a.mov(ecx, 0xffff_ffff);
            a.rep.outsb();
        });
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal(VcpuExit.Interrupted, bench.Run());
            Assert.Equal(2ul, bench.State.RetiredInstructions);
        }
        Assert.InRange(bench.State.Gpr[Gpr.RCX], 0xffff_0000u, 0xffff_fff0u);
        // The string instructions of memory likewise.
        bench.State.Rip = InstructionBench.Code;
        bench.Load(32, InstructionBench.Code, a => a.rep.stosb());
        bench.State.Gpr[Gpr.RCX] = 0xffff_ffff;
        bench.State.Gpr[Gpr.RDI] = 0x8000_0000; // nothing is there
        Assert.Equal(VcpuExit.Interrupted, bench.Run());
        Assert.Equal(2ul, bench.State.RetiredInstructions);
        Assert.NotEqual(0ul, bench.State.Gpr[Gpr.RCX]);
    }

    [Fact]
    public void APortThatEndsTheMachineDoesSoAfterTheInstruction()
    {
        using InstructionBench bench = InstructionBench.Long();
        RecordingPorts ports = new() { OnWrite = () => bench.Cpu.Vcpu.RequestExit(VcpuExit.MachineEnded) };
        bench.Cpu.Bus.MapPorts(0xf4, 1, ports, "exit");
        bench.Load(64, InstructionBench.Code, a =>
        {
            a.@out(0xf4, al);
            a.inc(ebx);
        });
        Assert.Equal(VcpuExit.MachineEnded, bench.Run());
        Assert.Equal(InstructionBench.Code + 2, bench.State.Rip);
        Assert.Equal(0ul, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(1ul, bench.State.RetiredInstructions);
    }

    [Fact]
    public void SegmentRegistersAreMovedPushedAndPopped()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.SetDescriptor(0x50, CpuBench.Descriptor(0x93, 0xc, 0x1234_5678));
        bench.Execute(64, a =>
        {
            a.mov(eax, 0x50);
            a.mov(fs, ax);
            a.mov(rbx, ulong.MaxValue);
            a.mov(ebx, fs);
            a.push(fs);
            a.pop(gs);
            a.mov(rcx, ulong.MaxValue);
            a.mov(cx, gs);
            a.mov(__word_ptr[0x3_0000], gs);
        });
        Assert.Equal(0x50ul, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(0xffff_ffff_ffff_0050, bench.State.Gpr[Gpr.RCX]);
        Assert.Equal(0x50, bench.Cpu.Read<ushort>(0x3_0000));
        Assert.Equal(0x1234_5678ul, bench.State.Fs.Base);
        Assert.Equal(0x1234_5678ul, bench.State.Gs.Base);
        Assert.Equal(CpuBench.KernelStack, bench.State.Gpr[Gpr.RSP]);
    }

    [Fact]
    public void FarPointersLoadASegmentAndARegister()
    {
        using InstructionBench bench = InstructionBench.Protected();
        bench.Cpu.SetDescriptor(0x50, CpuBench.Descriptor(0x93, 0xc, 0x100));
        bench.Cpu.Write(0x3_0000, 0x8765_4321u);
        bench.Cpu.Write(0x3_0004, (ushort)0x50);
        bench.Execute(32, a =>
        {
            a.les(ebx, __[0x3_0000]);
            a.lss(ecx, __[0x3_0000]);
        });
        Assert.Equal(0x8765_4321ul, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(0x50, bench.State.Es.Selector);
        Assert.Equal(0x100ul, bench.State.Ss.Base);
    }

    [Fact]
    public void BasesOfFsAndGsAreExchangedReadAndWritten()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.State.KernelGsBase = 0xffff_8880_0000_0000;
        bench.State.Gs.Base = 0x1000;
        bench.State.Cr4 |= Cr4.FSGSBASE;
        bench.Execute(64, a =>
        {
            a.swapgs();
            a.rdgsbase(rbx);
            a.mov(rax, 0x7fff_0000_1234);
            a.wrfsbase(rax);
            a.rdfsbase(ecx);
            a.mov(rax, 1L << 47);
            a.wrgsbase(rax);
        });
        Assert.Equal(0xffff_8880_0000_0000, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(0x1000ul, bench.State.KernelGsBase);
        Assert.Equal(0x1234ul, bench.State.Gpr[Gpr.RCX]);
        Assert.Equal(0x7fff_0000_1234ul, bench.State.Fs.Base);
        Assert.Equal((int)Vector.GP, bench.Vector);
    }

    [Fact]
    public void TablesAreLoadedAndStored()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.Write(0x3_0000, (ushort)0x7ff);
        bench.Cpu.Write(0x3_0002, CpuBench.Gdt);
        bench.Execute(64, a =>
        {
            a.lgdt(__[0x3_0000]);
            a.sgdt(__[0x3_0010]);
            a.sidt(__[0x3_0020]);
            a.str(ebx);
            a.sldt(ecx);
            a.smsw(rdx);
        });
        Assert.Equal(-1, bench.Vector);
        Assert.Equal(0x7ff, bench.Cpu.Read<ushort>(0x3_0010));
        Assert.Equal(CpuBench.Gdt, bench.Cpu.Read<ulong>(0x3_0012));
        Assert.Equal(CpuBench.Idt, bench.Cpu.Read<ulong>(0x3_0022));
        Assert.Equal((ulong)CpuBench.TaskSelector, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(bench.State.Cr0, bench.State.Gpr[Gpr.RDX]);
    }

    [Fact]
    public void UmipKeepsTheTablesFromUserMode()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.DropToUser();
        bench.State.Cr4 |= Cr4.UMIP;
        bench.Execute(64, a => a.sidt(__[0x3_0000]));
        Assert.Equal((int)Vector.GP, bench.Vector);
    }

    [Fact]
    public void SelectorQueriesAnswerInTheZeroFlag()
    {
        using InstructionBench bench = InstructionBench.Protected();
        bench.Execute(32, a =>
        {
            a.mov(eax, CpuBench.KernelData);
            a.stc();
            a.lsl(ebx, eax);
            a.setz(cl);
            a.setc(ch);
            a.verw(ax);
            a.setz(dl);
            a.mov(eax, 0xfff8);
            a.lar(esi, eax);
            a.setz(dh);
            a.mov(eax, 0x10);
            a.mov(ebp, 3);
            a.arpl(ax, bp);
        });
        Assert.Equal(0xffff_fffful, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(0x101ul, bench.State.Gpr[Gpr.RCX] & 0xffff);
        Assert.Equal(0x001ul, bench.State.Gpr[Gpr.RDX] & 0xffff);
        Assert.Equal(0ul, bench.State.Gpr[Gpr.RSI]);
        Assert.Equal(0x13ul, bench.State.Gpr[Gpr.RAX]);
        Assert.NotEqual(0ul, bench.State.Rflags & Rflags.ZF);
    }

    [Fact]
    public void SmapIsLiftedByStacAndRestoredByClac()
    {
        using InstructionBench bench = InstructionBench.Long();
        // The first 2 MiB become the kernel's own; the data page at 2 MiB stays the user's.
        bench.Cpu.Write(CpuBench.Tables + 0x2000, 0xe3ul);
        bench.State.Cr4 |= Cr4.SMAP | Cr4.SMEP;
        bench.Execute(64, a =>
        {
            a.stac();
            a.mov(eax, __dword_ptr[0x20_0000]);
            a.inc(ebx);
            a.clac();
            a.mov(eax, __dword_ptr[0x20_0000]);
            a.inc(ebx);
        });
        Assert.Equal((int)Vector.PF, bench.Vector);
        Assert.Equal(1ul, bench.State.Gpr[Gpr.RBX]);
    }

    [Fact]
    public void ANewPageTableEntryIsSeenAfterInvlpg()
    {
        using InstructionBench bench = InstructionBench.Long();
        ulong entry = CpuBench.Tables + 0x2000 + 3 * 8;
        bench.Cpu.Write(0x20_0000, 0x1111ul);
        bench.Cpu.Write(0x30_0000, 0x2222ul);
        bench.Cpu.Write(entry, 0x20_00e7ul);
        bench.Execute(64, a =>
        {
            a.mov(rbx, __qword_ptr[0x60_0000]);
            a.mov(rax, 0xe7);
            a.mov(__qword_ptr[(long)entry], rax);
            a.invlpg(__[0x60_0000]);
            a.mov(rcx, __qword_ptr[0x60_0000 + 0x2_0000]);
            a.mov(rdx, __qword_ptr[0x60_0000 + 0x8000 - 8]);
        });
        Assert.Equal(0x1111ul, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal(bench.Cpu.Read<ulong>(0x2_0000), bench.State.Gpr[Gpr.RCX]);
    }

    [Fact]
    public void IdentificationAndTime()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.Clock.Tsc = 0x1_2345_6789;
        bench.State.TscAux = 42;
        bench.Execute(64, a =>
        {
            a.xor(eax, eax);
            a.cpuid();
            a.mov(r8d, ebx);
            a.rdtscp();
            a.mov(r9d, eax);
            a.mov(r10d, edx);
            a.mov(r11d, ecx);
            a.rdrand(r12);
        });
        Assert.Equal(0x6874_7541ul, bench.State.Gpr[8]);
        Assert.Equal(0x2345_6789ul, bench.State.Gpr[9]);
        Assert.Equal(1ul, bench.State.Gpr[10]);
        Assert.Equal(42ul, bench.State.Gpr[11]);
        Assert.Equal(0x0123_4567_89ab_cdeful, bench.State.Gpr[12]);
        Assert.NotEqual(0ul, bench.State.Rflags & Rflags.CF);
    }

    [Fact]
    public void HypercallsReachTheMachineByEitherName()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Execute(64, a =>
        {
            a.mov(eax, 5);
            a.vmcall();
            a.mov(ebx, eax);
            a.mov(eax, 10);
            a.vmmcall();
        });
        Assert.Equal([5ul, 10ul], bench.Cpu.Services.Hypercalls);
        Assert.Equal(0x1234ul, bench.State.Gpr[Gpr.RBX]);
    }

    [Fact]
    public void SoftwareInterruptsReturnBehindThemselves()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Cpu.SetGate64(0x80, dpl: 3);
        bench.Cpu.SetGate64(3, dpl: 3);
        foreach (int vector in new[] { 3, 0x80 })
            bench.Load(64, CpuBench.Handler(vector), a =>
            {
                a.shl(ebx, 8);
                a.or(ebx, vector);
                a.iretq();
            });
        bench.Cpu.DropToUser();
        bench.Execute(64, a =>
        {
            a.@int(0x80);
            a.int3();
            a.or(ebx, 1 << 30);
        });
        Assert.Equal(0x4000_8003ul, bench.State.Gpr[Gpr.RBX]);
        Assert.Equal((int)Vector.GP, bench.Vector);
        Assert.Equal(0, bench.State.Cpl);
    }
}
