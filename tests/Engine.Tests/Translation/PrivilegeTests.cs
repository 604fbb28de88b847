using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>
/// A user's program and a kernel that go back and forth by SYSCALL and SYSRET, with single steps, checks of alignment, SMAP,
/// returns to where nobody may go, and interrupts that wait: translated and interpreted, the states are equal after every
/// slice.
/// </summary>
public sealed unsafe class PrivilegeTests(ITestOutputHelper output)
{
    private const ulong UserCode = 0x40_0000, UserData = 0x41_0000, UserStack = 0x42_0000, Entry = TestMachine.Code + 0x800, Handlers = TestMachine.Code + 0x2000;
    private const ulong TaskState = 0xa000, KernelStack = TestMachine.StackTop, Saved = TestMachine.Data, Resume = Saved + 0x40, Counts = Saved + 0x80;
    private const ulong NonCanonical = 0x8000_0000_0000;
    private const ushort UserSelectors = 0x20;
    private const int Tick = 0x40;

    [Fact]
    public void SystemCallsEndAsInterpreted()
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        for (int seed = first; seed < first + 12; seed++)
        {
            using TestMachine interpreted = Prepared(seed, ProgramComparison.Interpreter), translated = Prepared(seed, ProgramComparison.Eager);
            Random random = new(seed);
            for (int slice = 0; slice < 80; slice++)
            {
                int budget = random.Next(1, random.Next(2) == 0 ? 40 : 2000), what = random.Next(8);
                foreach (TestMachine machine in (ReadOnlySpan<TestMachine>)[interpreted, translated])
                {
                    if (what == 0)
                        machine.Interrupts.Raise(Tick);
                    else if (what == 1)
                        machine.Vcpu.Kick();
                    ProgramComparison.Execute(machine, budget);
                }
                string? difference = ProgramComparison.Difference(interpreted, translated);
                Assert.True(difference is null, $"seed {seed}, slice {slice}: {difference}");
            }
            Assert.True(translated.Read(Counts) > 50, $"seed {seed}: {translated.Read(Counts)} system calls");
        }
    }

    [Fact]
    public void SystemCallsStayInHostCode()
    {
        TranslatorStatistics statistics = new();
        using TestMachine machine = Machine(vcpu => new TranslatorBackend(vcpu, codeBytes: 4 << 20, nativeBytes: 4 << 20, hot: 2) { Statistics = statistics });
        machine.State.Fmask = Rflags.AC | Rflags.IF | Rflags.TF;
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.add(rbx, rcx);
            a.syscall();
            a.jmp(top);
        }, UserCode);
        machine.Load(a =>
        {
            a.sti();
            a.stac();
            a.add(__qword_ptr[UserData], 1);
            a.clac();
            a.cli();
            a.sysretq();
        }, Entry);
        ProgramComparison.Execute(machine, 100_000);
        // Of nine instructions none is the interpreter's.
        Assert.InRange(statistics.Native, 98_000, 100_000);
    }

    [Fact]
    public void AnInterruptThatWaitsIsDeliveredBehindStiAndSysret()
    {
        foreach (bool opens in (ReadOnlySpan<bool>)[false, true])
        {
            using TestMachine machine = Machine(ProgramComparison.Eager);
            machine.State.Fmask = Rflags.AC | Rflags.IF | Rflags.TF;
            machine.Load(a =>
            {
                Label top = a.CreateLabel();
                a.Label(ref top);
                a.syscall();
                a.jmp(top);
            }, UserCode);
            machine.Load(a =>
            {
                a.inc(__qword_ptr[Counts]);
                if (opens)
                {
                    a.mov(rsp, (long)KernelStack);
                    a.sti();
                    a.nop();
                    a.cli();
                }
                a.nop();
                a.nop();
                a.sysretq();
            }, Entry);
            ProgramComparison.Execute(machine, 1000);
            while (machine.State.Rip != Entry)
                ProgramComparison.Execute(machine, 1);
            machine.Interrupts.Raise(Tick);
            // The rest of the call, and the handler's first instructions.
            ProgramComparison.Execute(machine, opens ? 6 : 5);
            Assert.Equal(1ul, machine.Read(Counts + Tick * 8));
        }
    }

    private static TestMachine Prepared(int seed, Func<Vcpu, IVcpuBackend> backend)
    {
        Random random = new(seed);
        TestMachine machine = Machine(backend);
        machine.State.Fmask = (random.Next(4) == 0 ? 0 : Rflags.AC) | Rflags.IF | Rflags.TF | Rflags.DF | (random.Next(2) == 0 ? Rflags.Arithmetic : 0);
        if (random.Next(2) == 0)
            machine.State.Cr0 |= Cr0.AM;
        machine.Load(a => User(a, random), UserCode);
        machine.Load(a => Kernel(a, random), Entry);
        return machine;
    }

    private static void User(Assembler a, Random random)
    {
        Label top = a.CreateLabel();
        a.Label(ref top);
        for (int i = 0; i < 6; i++)
        {
            for (int j = random.Next(1, 6); j > 0; j--)
            {
                switch (random.Next(9))
                {
                    case 0: a.add(rbx, r11); break;
                    case 1: a.xor(rbx, rcx); break;
                    case 2: a.mov(__qword_ptr[UserData + (ulong)random.Next(64)], rbx); break;
                    case 3: a.cmp(bl, r12b); break;
                    case 4: a.adc(r12, __qword_ptr[UserData + (ulong)random.Next(64)]); break;
                    case 5: a.pushfq(); a.pop(r14); a.xor(r12, r14); break;
                    case 6: a.shl(ebx, 3); break;
                    case 7: a.mov(r11, rbx); a.sub(r11, r12); break;
                    case 8 when random.Next(3) == 0: a.push((int)(2 | (random.Next(2) == 0 ? Rflags.TF : Rflags.AC))); a.popfq(); break;
                }
            }
            a.syscall();
        }
        a.jmp(top);
    }

    private static void Kernel(Assembler a, Random random)
    {
        Label leave = a.CreateLabel(), resumed = a.CreateLabel(), even = a.CreateLabel();
        a.mov(__qword_ptr[Saved], rcx);
        a.mov(__qword_ptr[Saved + 8], r11);
        a.mov(__qword_ptr[Saved + 16], rsp);
        a.mov(rsp, (long)KernelStack);
        a.inc(__qword_ptr[Counts]);
        if (random.Next(2) == 0)
        {
            a.sti();
            a.mov(rax, __qword_ptr[Saved]);
            if (random.Next(2) == 0)
                a.cli();
        }
        // Reached with the right to, and without.
        a.lea(rax, __[resumed]);
        a.mov(__qword_ptr[Resume], rax);
        bool allowed = random.Next(3) != 0;
        a.mov(rsi, (long)UserData);
        if (random.Next(2) == 0)
            a.mov(rax, __qword_ptr[Saved + 24]);
        if (allowed)
            a.stac();
        a.add(rbx, __qword_ptr[rsi + 8]);
        a.mov(__qword_ptr[rsi + 16], rbx);
        if (allowed && random.Next(2) == 0)
        {
            a.clac();
            a.add(rbx, __qword_ptr[rsi + 24]);
        }
        a.Label(ref resumed);
        a.clac();
        a.cli();
        a.mov(rcx, __qword_ptr[Saved]);
        a.mov(r11, __qword_ptr[Saved + 8]);
        a.mov(rsp, __qword_ptr[Saved + 16]);
        if (random.Next(2) == 0)
            a.or(r11, (int)Rflags.IF);
        if (random.Next(4) == 0)
        {
            // Now and then to where there is nobody: #GP in the kernel, on its own stack.
            a.mov(rax, __qword_ptr[Counts]);
            a.test(al, 15);
            a.jnz(even);
            a.mov(rsp, (long)KernelStack);
            a.mov(rcx, NonCanonical);
            a.Label(ref even);
            a.nop();
        }
        a.Label(ref leave);
        a.sysretq();
    }

    /// <summary>A machine with its kernel in supervisor's pages, which starts the user's program.</summary>
    private static TestMachine Machine(Func<Vcpu, IVcpuBackend> backend)
    {
        TestMachine machine = new(64, CpuLevel.V3, memory: 0x44_0000, backend: backend);
        for (ulong page = 0; page < 2; page++)
            machine.Write(TestMachine.Tables + 0x2000 + page * 8, page << 21 | 0x83);
        machine.Write(TestMachine.Gdt + 0x28, 0x00cf_f300_0000_fffful, 0x00af_fb00_0000_fffful);
        machine.State.Gdtr.Limit = 0x37;
        machine.Write(TaskState + 4, KernelStack);
        machine.State.Tr = new Segment { Selector = 0x40, Base = TaskState, Limit = 0x67, Attributes = Segment.P | 0xb };
        machine.State.Cr4 |= Cr4.SMAP | Cr4.SMEP;
        machine.State.Efer |= Efer.SCE;
        machine.State.Star = (ulong)UserSelectors << 48 | (ulong)TestMachine.Kernel64 << 32;
        machine.State.Lstar = Entry;
        int handlers = 0;
        void Handle(int vector, bool pushesCode, Action<Assembler>? more)
        {
            ulong at = Handlers + (ulong)handlers++ * 0x100;
            machine.Load(a =>
            {
                a.inc(__qword_ptr[Counts + (ulong)vector * 8]);
                if (pushesCode)
                    a.add(rsp, 8);
                more?.Invoke(a);
                a.iretq();
            }, at);
            machine.SetHandler(vector, at);
        }
        Handle(1, pushesCode: false, a => a.and(__dword_ptr[rsp + 16], ~(int)Rflags.TF));
        Handle(17, pushesCode: true, a => a.and(__dword_ptr[rsp + 16], ~(int)Rflags.AC));
        // SYSRET's, which goes back as it should, and the kernel's own, which goes on without.
        Handle(13, pushesCode: true, a => { a.mov(rcx, __qword_ptr[Saved]); a.add(rsp, 40); a.mov(rsp, __qword_ptr[Saved + 16]); a.sysretq(); });
        Handle(14, pushesCode: true, a => { a.mov(rsp, (long)KernelStack); a.jmp(__qword_ptr[Resume]); });
        Handle(Tick, pushesCode: false, null);
        machine.Load(a =>
        {
            a.mov(rcx, UserCode);
            a.mov(r11d, (int)Rflags.IF);
            a.mov(rsp, UserStack);
            a.sysretq();
        });
        return machine;
    }
}
