using Godwit.Engine.Cpu;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter;

public sealed unsafe class ExecutionTests
{
    [Theory]
    [InlineData(32)]
    [InlineData(64)]
    public void LoopSumsItsCounter(int bitness)
    {
        using TestMachine machine = new(bitness);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.xor(eax, eax);
            a.mov(ecx, 1000);
            a.Label(ref top);
            a.add(eax, ecx);
            a.dec(ecx);
            a.jnz(top);
        });
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(2 + 3 * 1000));
        Assert.Equal(500500ul, machine.State.Gpr[Gpr.RAX]);
        Assert.Equal(3002ul, machine.State.RetiredInstructions);
        Assert.NotEqual(0ul, machine.State.Rflags & Rflags.ZF);
    }

    [Fact]
    public void EveryBudgetStopsAtTheSameState()
    {
        void Write(Assembler a)
        {
            Label start = a.CreateLabel(), top = a.CreateLabel(), function = a.CreateLabel(), skip = a.CreateLabel();
            a.Label(ref start);
            a.mov(rbx, TestMachine.Data);
            a.mov(ecx, 50);
            a.Label(ref top);
            a.add(rax, rcx);
            a.mov(__qword_ptr[rbx + rcx * 8], rax);
            a.call(function);
            a.test(cl, 1);
            a.jz(skip);
            a.xor(rax, __qword_ptr[rbx + rcx * 8]);
            a.Label(ref skip);
            a.dec(ecx);
            a.jnz(top);
            a.jmp(start);
            a.Label(ref function);
            a.rol(rax, 3);
            a.push(rax);
            a.pop(rdx);
            a.ret();
        }

        using TestMachine one = new(64);
        one.Load(Write);
        using TestMachine other = new(64);
        other.Load(Write);
        Assert.Equal(VcpuExit.Interrupted, one.Backend.Run(1000));
        for (int left = 1000, slice = 1; left > 0; slice = slice % 7 + 1)
        {
            int now = Math.Min(slice, left);
            ulong before = other.State.RetiredInstructions;
            Assert.Equal(VcpuExit.Interrupted, other.Backend.Run(now));
            Assert.Equal((ulong)now, other.State.RetiredInstructions - before);
            left -= now;
        }
        Assert.Equal(1000ul, one.State.RetiredInstructions);
        Assert.Equal(one.State.Rip, other.State.Rip);
        Assert.Equal(one.State.Rflags, other.State.Rflags);
        for (int i = 0; i < 16; i++)
            Assert.Equal(one.State.Gpr[i], other.State.Gpr[i]);
    }

    [Fact]
    public void StoreIntoTheRunningBlockTakesEffectAtTheNextInstruction()
    {
        using TestMachine machine = new(64);
        byte[] bytes = machine.Load(a =>
        {
            Label patched = a.CreateLabel();
            a.lea(rbx, __[patched]);
            a.mov(__byte_ptr[rbx + 1], 42);
            a.Label(ref patched);
            a.mov(eax, 1);
            a.nop();
        });
        Assert.NotEmpty(bytes);
        machine.Backend.Run(4);
        Assert.Equal(42ul, machine.State.Gpr[Gpr.RAX]);
        Assert.Equal(4ul, machine.State.RetiredInstructions);
    }

    [Fact]
    public void DeviceWriteToCodeIsSeen()
    {
        using TestMachine machine = new(64);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.mov(eax, 1);
            a.jmp(top);
        });
        machine.Backend.Run(100);
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RAX]);
        machine.Memory.TryWrite(new Godwit.Engine.Memory.GuestPhysicalAddress(TestMachine.Code + 1), [7]);
        // The first run ends at once, by the kick that came with the write.
        machine.Backend.Run(100);
        machine.Backend.Run(100);
        Assert.Equal(7ul, machine.State.Gpr[Gpr.RAX]);
    }

    [Fact]
    public void DivisionByZeroEntersTheHandlerWithTheFaultingRip()
    {
        using TestMachine machine = new(64);
        machine.Load(a =>
        {
            a.mov(ecx, 0);
            a.div(ecx);
        });
        machine.Load(a => a.mov(ebx, 7), 0x11_0000);
        machine.SetHandler(0, 0x11_0000);
        machine.Backend.Run(2);
        Assert.Equal(7ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(2ul, machine.State.RetiredInstructions);
        Assert.Equal(TestMachine.Code + 5, machine.Read(machine.State.Gpr[Gpr.RSP]));
    }

    [Fact]
    public void RepMovsCopiesAcrossPagesAndCountsOnce()
    {
        using TestMachine machine = new(64);
        machine.Load(a =>
        {
            a.mov(esi, (uint)TestMachine.Data + 5);
            a.mov(edi, (uint)TestMachine.Data + 0x1_0003);
            a.mov(ecx, 10000);
            a.rep.movsb();
            a.nop();
        });
        byte[] source = new byte[10000];
        new Random(1).NextBytes(source);
        machine.Memory.TryWrite(new Godwit.Engine.Memory.GuestPhysicalAddress(TestMachine.Data + 5), source);
        machine.Backend.Run(5);
        byte[] copy = new byte[10000];
        machine.Memory.TryRead(new Godwit.Engine.Memory.GuestPhysicalAddress(TestMachine.Data + 0x1_0003), copy);
        Assert.Equal(source, copy);
        Assert.Equal(5ul, machine.State.RetiredInstructions);
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RCX]);
    }

    [Fact]
    public void TripleFaultIsAnExit()
    {
        using TestMachine machine = new(64);
        machine.State.Idtr.Limit = 0;
        machine.Load(a => a.ud2());
        Assert.Equal(VcpuExit.Shutdown, machine.Backend.Run(10));
    }
}
