using Godwit.Engine.Cpu;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>Vector code in hot loops: what it may not do, and what it leaves behind.</summary>
public sealed unsafe class TranslatedVectorTests
{
    private const ulong Handler = TestMachine.Code + 0x1000, Missing = 0x4000_0000;

    [Fact]
    public void AMisalignedOperandFaultsAtItsInstructionWithTheVectorsBeforeIt()
    {
        using TestMachine machine = Machine(Vector.GP);
        machine.Load(a => CountDown(a, () =>
        {
            a.paddd(xmm1, xmm2);
            a.paddd(xmm1, __xmmword_ptr[rsi]);
            a.paddd(xmm3, xmm2);
        }, a => a.lea(rdi, __[rsi + 8])));
        machine.RunToHalt();
        AssertRounds(machine);
        Assert.Equal(0ul, machine.Read(machine.State.Gpr[Gpr.RSP]));
    }

    [Fact]
    public void ALoadFromAMissingPageFaultsAtItsInstructionWithTheVectorsBeforeIt()
    {
        using TestMachine machine = Machine(Vector.PF);
        machine.Load(a => CountDown(a, () =>
        {
            a.paddd(xmm1, xmm2);
            a.addsd(xmm4, __qword_ptr[rsi]);
            a.paddd(xmm3, xmm2);
        }, a => a.mov(rdi, Missing)));
        machine.RunToHalt();
        AssertRounds(machine);
        Assert.Equal(Missing, machine.State.Cr2);
    }

    [Fact]
    public void CodeThatSetsTaskSwitchedMeetsItAtTheNextVectorInstruction()
    {
        using TestMachine machine = Machine(Vector.NM);
        machine.Load(a =>
        {
            a.inc(ebx);
            a.clts();
            a.iretq();
        }, Handler);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            One(a);
            a.mov(ecx, 200);
            a.mov(rdx, cr0);
            a.bts(rdx, 3);
            a.Label(ref top);
            a.paddd(xmm1, xmm2);
            a.mov(cr0, rdx);
            a.lea(rdx, __[rdx]);
            a.lea(rdx, __[rdx]);
            a.lea(rdx, __[rdx]);
            a.lea(rdx, __[rdx]);
            a.paddd(xmm3, xmm2);
            a.dec(ecx);
            a.jnz(top);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(200ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal((200, 200), (Lane(machine, 1), Lane(machine, 3)));
    }

    [Fact]
    public void AnExceptionThatCodeUnmasksReachesItsHandlerAtItsInstruction()
    {
        using TestMachine machine = Machine(Vector.XM);
        machine.Write(TestMachine.Data, 0x1d80);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), stays = a.CreateLabel();
            One(a);
            a.mov(rsi, TestMachine.Data);
            a.mov(ecx, 200);
            a.Label(ref top);
            a.paddd(xmm1, xmm2);
            a.divsd(xmm4, xmm5);
            a.paddd(xmm3, xmm2);
            a.cmp(ecx, 100);
            a.jne(stays);
            a.ldmxcsr(__dword_ptr[rsi]);
            a.Label(ref stays);
            a.dec(ecx);
            a.jnz(top);
            a.hlt();
        });
        machine.State.Mxcsr = 0x1f80;
        ulong one = BitConverter.DoubleToUInt64Bits(1);
        machine.State.Vector[4 * 32 + 6] = (byte)(one >> 48);
        machine.State.Vector[4 * 32 + 7] = (byte)(one >> 56);
        machine.RunToHalt();
        // The first division makes an infinity, which the others keep without an exception; LDMXCSR has cleared the flag.
        Assert.Equal(0x1d80u, machine.State.Mxcsr);
        Assert.Equal((200, 200), (Lane(machine, 1), Lane(machine, 3)));
        machine.State.Vector[4 * 32 + 6] = (byte)(one >> 48);
        machine.State.Vector[4 * 32 + 7] = (byte)(one >> 56);
        machine.State.Halted = false;
        machine.State.Rip = TestMachine.Code;
        machine.RunToHalt();
        Assert.Equal(0x1d84u, machine.State.Mxcsr);
        Assert.Equal(200ul, machine.State.Gpr[Gpr.RCX]);
        Assert.Equal((1, 0), (Lane(machine, 1), Lane(machine, 3)));
    }

    [Fact]
    public void TheHostComputesByItsOwnControlWordAfterwards()
    {
        using TestMachine machine = Machine(Vector.XM);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.divss(xmm1, xmm2);
            a.divss(xmm1, xmm2);
            a.jmp(top);
        });
        // Rounding up.
        machine.State.Mxcsr = 0x5f80;
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(10_000));
        Assert.True(((TranslatorBackend)machine.Backend).Blocks.Translated > 0);
        Assert.Equal(0x5f81u, machine.State.Mxcsr);
        double ten = machine.State.Gpr[Gpr.RAX] + 10.0;
        Assert.Equal(0x3fb999999999999au, BitConverter.DoubleToUInt64Bits(1 / ten));
        // Rounded up it would end in 6.
        Assert.Equal(0x3fd5555555555555u, BitConverter.DoubleToUInt64Bits(1 / (ten - 7)));
    }

    /// <summary>XMM2 is one in each lane, XMM1 and XMM3 are zero.</summary>
    private static void One(Assembler a)
    {
        a.pxor(xmm1, xmm1);
        a.pxor(xmm3, xmm3);
        a.pcmpeqd(xmm2, xmm2);
        a.psrld(xmm2, 31);
    }

    /// <summary>A loop whose hundredth round takes its operands at RDI instead of RSI.</summary>
    private static void CountDown(Assembler a, Action body, Action<Assembler> away)
    {
        Label top = a.CreateLabel();
        One(a);
        a.mov(rsi, TestMachine.Data);
        away(a);
        a.mov(ecx, 100);
        a.Label(ref top);
        a.sub(ecx, 1);
        a.cmovz(rsi, rdi);
        body();
        a.jmp(top);
    }

    private static void AssertRounds(TestMachine machine)
    {
        Assert.True(((TranslatorBackend)machine.Backend).Blocks.Translated > 0);
        Assert.Equal((100, 99), (Lane(machine, 1), Lane(machine, 3)));
    }

    private static int Lane(TestMachine machine, int register)
    {
        fixed (byte* vectors = machine.State.Vector)
            return *(int*)(vectors + 32 * register);
    }

    /// <summary>A machine whose handler of an exception halts.</summary>
    private static TestMachine Machine(Vector vector)
    {
        TestMachine machine = new(64, services: new EveryVectorFeature(), backend: vcpu => new TranslatorBackend(vcpu, hot: 2));
        machine.State.Cr0 = (machine.State.Cr0 & ~(Cr0.EM | Cr0.TS)) | Cr0.NE;
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXMMEXCPT;
        machine.SetHandler((int)vector, Handler);
        machine.Load(a => a.hlt(), Handler);
        return machine;
    }
}
