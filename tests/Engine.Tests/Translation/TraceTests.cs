using Godwit.Engine.Cpu;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>Blocks that are translated together with those that follow them.</summary>
public sealed unsafe class TraceTests
{
    [Theory]
    [InlineData(50)]
    [InlineData(51)]
    public void AStoreIntoALaterBlockOfATraceIsSeenByTheNextRound(int at)
    {
        using TestMachine machine = new(64, backend: ProgramComparison.Eager);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), second = a.CreateLabel(), patched = a.CreateLabel(), same = a.CreateLabel(), never = a.CreateLabel();
            a.mov(ecx, 100);
            a.lea(rsi, __[patched]);
            a.Label(ref top);
            a.cmp(ecx, at);
            a.jne(same);
            // add ebx, imm8: the constant becomes 3. It lies in another 64 bytes than this.
            a.mov(__byte_ptr[rsi + 2], 3);
            a.Label(ref same);
            a.test(ecx, ecx);
            a.jz(never);
            a.jmp(second);
            for (int i = 0; i < 128; i++)
                a.nop();
            a.Label(ref second);
            a.test(ecx, 1);
            a.Label(ref patched);
            a.add(ebx, 1);
            a.dec(ecx);
            a.jnz(top);
            a.Label(ref never);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal((ulong)(100 - at + (3 * at)), machine.State.Gpr[Gpr.RBX]);
    }

    [Fact]
    public void ATraceThatLosesABlockIsMadeAgain()
    {
        using TestMachine machine = new(64, backend: ProgramComparison.Eager);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), second = a.CreateLabel(), patched = a.CreateLabel();
            a.mov(ecx, 1000);
            a.lea(rsi, __[patched]);
            a.Label(ref top);
            a.mov(eax, ecx);
            a.jmp(second);
            for (int i = 0; i < 128; i++)
                a.nop();
            a.Label(ref second);
            a.and(eax, 63);
            a.jnz(patched);
            a.add(__byte_ptr[rsi + 2], 1);
            a.Label(ref patched);
            a.add(ebx, 1);
            a.dec(ecx);
            a.jnz(top);
            a.hlt();
        });
        machine.RunToHalt();
        ulong expected = 0, step = 1;
        for (int i = 1000; i > 0; i--)
            expected += (i & 63) == 0 ? ++step : step;
        Assert.Equal(expected, machine.State.Gpr[Gpr.RBX]);
        Assert.True(((TranslatorBackend)machine.Backend).Blocks.Translated > 15);
    }

    [Fact]
    public void EveryBudgetEndsATraceWhereTheInterpreterEnds()
    {
        const long Warm = 4000;
        for (long budget = 1; budget < 120; budget++)
        {
            using TestMachine interpreted = Calls(translated: false), translated = Calls(translated: true);
            ProgramComparison.Execute(interpreted, Warm + budget);
            ProgramComparison.Execute(translated, Warm);
            ProgramComparison.Execute(translated, budget);
            Assert.Null(ProgramComparison.Difference(interpreted, translated));
        }
    }

    [Fact]
    public void AReturnToAnAddressThatTheFunctionHasChangedGoesThere()
    {
        using TestMachine machine = new(64, backend: ProgramComparison.Eager);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), function = a.CreateLabel(), plain = a.CreateLabel(), other = a.CreateLabel(), next = a.CreateLabel();
            a.mov(ecx, 200);
            a.xor(edx, edx);
            a.lea(rdi, __[other]);
            a.Label(ref top);
            a.call(function);
            a.inc(ebx);
            a.jmp(next);
            a.Label(ref other);
            a.add(edx, 2);
            a.Label(ref next);
            a.dec(ecx);
            a.jnz(top);
            a.hlt();
            a.Label(ref function);
            a.mov(eax, ecx);
            a.and(eax, 15);
            a.jnz(plain);
            a.mov(__[rsp], rdi);
            a.Label(ref plain);
            a.ret();
        });
        machine.RunToHalt();
        Assert.Equal((200ul - 12, 24ul), (machine.State.Gpr[Gpr.RBX], machine.State.Gpr[Gpr.RDX]));
    }

    /// <summary>A loop with branches both ways, calls at two depths, and a load that faults in the end.</summary>
    private static TestMachine Calls(bool translated)
    {
        TestMachine machine = new(64, backend: translated ? ProgramComparison.Eager : ProgramComparison.Interpreter);
        machine.SetHandler(14, TestMachine.Code + 0x1000);
        machine.Load(a => a.hlt(), TestMachine.Code + 0x1000);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), even = a.CreateLabel(), both = a.CreateLabel(), outer = a.CreateLabel(), inner = a.CreateLabel(), deep = a.CreateLabel();
            a.mov(ecx, 300);
            a.mov(rsi, TestMachine.Data);
            a.Label(ref top);
            a.lea(ebx, __[rbx + rcx * 2 + 1]);
            a.test(ecx, 1);
            a.jz(even);
            a.call(outer);
            a.jmp(both);
            a.Label(ref even);
            a.adc(__qword_ptr[rsi + 8], rbx);
            a.Label(ref both);
            a.test(ecx, 12);
            a.jz(deep);
            a.inc(rdx);
            a.Label(ref deep);
            a.dec(ecx);
            a.jnz(top);
            a.mov(rax, __[0x4000_0000]);
            a.Label(ref outer);
            a.push(rbx);
            a.call(inner);
            a.pop(rbx);
            a.add(__qword_ptr[rsi], rax);
            a.ret();
            a.Label(ref inner);
            a.lea(rax, __[rbx + rbx * 4]);
            a.cmp(rax, rdx);
            a.ret();
        });
        return machine;
    }
}
