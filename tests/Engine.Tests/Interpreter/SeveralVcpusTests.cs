using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter;

/// <summary>Two vCPUs on threads of their own over one memory: what each may rely on of the other's stores.</summary>
public sealed unsafe class SeveralVcpusTests
{
    private const ulong Second = TestMachine.Code + 0x1000, Function = TestMachine.Code + 0x2000, Flag = TestMachine.Data, Ack = TestMachine.Data + 64;

    public static TheoryData<bool> BackEnds => TranslatorBackend.IsSupported ? [false, true] : [false];

    /// <summary>Once beside other data, and once in the page of the code that counts: its stores never hit there.</summary>
    [Theory]
    [MemberData(nameof(BackEnds))]
    public void LockedInstructionsOfTwoVcpusLoseNothing(bool translated)
    {
        const int Rounds = 20_000;
        foreach (ulong counter in (ulong[])[TestMachine.Data, TestMachine.Code + 0x800])
        {
            using TestMachine machine = new(64, backend: vcpu => Backend(vcpu, translated));
            machine.Load(a =>
            {
                Label again = a.CreateLabel(), retry = a.CreateLabel();
                a.mov(ecx, Rounds);
                a.mov(rsi, counter);
                a.Label(ref again);
                a.@lock.inc(__qword_ptr[rsi]);
                a.mov(edx, 1);
                a.@lock.xadd(__qword_ptr[rsi], rdx);
                a.Label(ref retry);
                a.mov(rax, __qword_ptr[rsi]);
                a.lea(rbx, __[rax + 1]);
                a.@lock.cmpxchg(__qword_ptr[rsi], rbx);
                a.jne(retry);
                a.dec(ecx);
                a.jne(again);
                a.hlt();
            });
            RunBoth(machine, TestMachine.Code, translated);
            Assert.Equal(2ul * 3 * Rounds, machine.Read(counter));
        }
    }

    /// <summary>One writes an instruction and says so; the other, having serialised, must not run what stood there before.</summary>
    [Theory]
    [MemberData(nameof(BackEnds))]
    public void CodeThatAnotherVcpuWroteIsTheCodeThatRuns(bool translated)
    {
        const int Rounds = 300;
        using TestMachine machine = new(64, backend: vcpu => Backend(vcpu, translated));
        machine.Load(a =>
        {
            // R12: the round. Runs the function once it has been changed, and hands back what it returned.
            Label wait = a.CreateLabel();
            a.mov(r12d, 1);
            a.mov(rsi, Flag);
            a.mov(rdi, Function);
            a.Label(ref wait);
            a.cmp(__dword_ptr[rsi], r12d);
            a.jne(wait);
            a.xor(eax, eax);
            a.cpuid();
            a.call(rdi);
            a.mov(__dword_ptr[rsi + (int)(Ack - Flag)], eax);
            a.inc(r12d);
            a.cmp(r12d, Rounds);
            a.jbe(wait);
            a.hlt();
        });
        machine.Load(
            a =>
            {
                Label again = a.CreateLabel(), wait = a.CreateLabel(), wrong = a.CreateLabel();
                a.mov(r12d, 1);
                a.mov(rsi, Flag);
                a.mov(rdi, Function);
                a.Label(ref again);
                a.mov(__dword_ptr[rdi + 1], r12d);
                a.mov(__dword_ptr[rsi], r12d);
                a.lea(eax, __[r12 - 1]);
                a.Label(ref wait);
                a.mov(edx, __dword_ptr[rsi + (int)(Ack - Flag)]);
                a.cmp(edx, eax);
                a.je(wait);
                a.cmp(edx, r12d);
                a.jne(wrong);
                a.inc(r12d);
                a.cmp(r12d, Rounds);
                a.jbe(again);
                a.hlt();
                a.Label(ref wrong);
                a.ud2();
            },
            Second);
        machine.Load(
            a =>
            {
                a.mov(eax, 0);
                a.ret();
            },
            Function);
        RunBoth(machine, Second, translated);
        Assert.Equal((ulong)Rounds, machine.Read(Ack) & uint.MaxValue);
    }

    private static IVcpuBackend Backend(Vcpu vcpu, bool translated) =>
        translated ? new TranslatorBackend(vcpu, hot: 4) : new InterpreterBackend(vcpu);

    private static void RunBoth(TestMachine machine, ulong secondRip, bool translated)
    {
        SafePoints points = new();
        using Vcpu second = new(machine.Memory, new Bus(machine.Bus.Gate), new TestInterrupts(), machine.Vcpu.Clock, machine.Vcpu.Services) { Index = 1 };
        using IVcpuBackend backend = Backend(second, translated);
        second.Seat = points.Add(second);
        machine.Vcpu.Seat = points.Add(machine.Vcpu);
        second.State = machine.State;
        second.State.Rip = secondRip;
        second.State.Gpr[Gpr.RSP] = TestMachine.StackTop - 0x1000;
        VcpuExit left = default;
        Thread thread = new(() => left = RunToHalt(second, backend));
        thread.Start();
        VcpuExit right = RunToHalt(machine.Vcpu, machine.Backend);
        thread.Join();
        Assert.Equal((VcpuExit.Halted, VcpuExit.Halted), (left, right));
    }

    private static VcpuExit RunToHalt(Vcpu vcpu, IVcpuBackend backend)
    {
        // Far more than the rounds take, however the host lets the two take turns.
        for (ulong most = 20_000_000_000; vcpu.State.RetiredInstructions < most;)
        {
            VcpuExit exit = backend.Run(50_000);
            if (exit != VcpuExit.Interrupted)
                return exit;
        }
        return VcpuExit.Interrupted;
    }
}
