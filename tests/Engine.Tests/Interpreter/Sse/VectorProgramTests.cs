using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Vector and x87 code through decoder, dispatcher, paging and event delivery.</summary>
public sealed unsafe class VectorProgramTests
{
    private const ulong PageEnd = TestMachine.Data + PageNumber.Size;

    [Fact]
    public void AStateImageAcrossPagesComesBackWhole()
    {
        using TestMachine machine = Machine(64);
        machine.Load(a =>
        {
            a.mov(rsi, PageEnd - 256);
            a.fld1();
            a.fldpi();
            a.mov(rax, 0x0123456789abcdef);
            a.movq(xmm15, rax);
            a.pshufd(xmm15, xmm15, 0x1b);
            a.fxsave64(__[rsi]);
            a.fninit();
            a.pxor(xmm15, xmm15);
            a.fxrstor64(__[rsi]);
            a.fstp(__qword_ptr[rsi + 512]);
            a.movdqu(__[rsi + 520], xmm15);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(Math.PI, BitConverter.UInt64BitsToDouble(machine.Read(PageEnd + 256)));
        Assert.Equal(0ul, machine.Read(PageEnd + 264));
        Assert.Equal(0x89abcdef01234567ul, machine.Read(PageEnd + 272));
    }

    [Fact]
    public void OutsideOf64BitModeTheImageHoldsEightVectorRegisters()
    {
        using TestMachine machine = Machine(32);
        machine.State.Gpr[Gpr.RSI] = TestMachine.Data;
        for (ulong at = 0; at < 512; at += 8)
            machine.Write(TestMachine.Data + at, 0x5555555555555555);
        machine.Load(a =>
        {
            a.mov(eax, 7);
            a.movd(xmm7, eax);
            a.fxsave(__[esi]);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(7ul, machine.Read(TestMachine.Data + 160 + 7 * 16));
        Assert.Equal(0x5555555555555555ul, machine.Read(TestMachine.Data + 160 + 8 * 16));
    }

    [Fact]
    public void AnUnmaskedX87ExceptionReachesItsHandlerAtTheNextWaitingInstruction()
    {
        using TestMachine machine = Machine(64);
        machine.SetHandler((int)Vector.MF, TestMachine.Code + 0x800);
        machine.Load(a =>
        {
            a.pop(rax);
            a.fnstsw(ax);
            a.hlt();
        }, TestMachine.Code + 0x800);
        machine.Write(TestMachine.Data, 0x037b);
        ulong waiting = 0;
        byte[] bytes = machine.Load(a =>
        {
            a.mov(rsi, TestMachine.Data);
            a.fldcw(__word_ptr[rsi]);
            a.fld1();
            a.fldz();
            a.fdivp(st1, st0);
            a.mov(ebx, 1);
            a.wait();
            a.mov(ebx, 2);
        });
        waiting = TestMachine.Code + (ulong)bytes.Length - 6;
        ulong stack = machine.State.Gpr[Gpr.RSP];
        machine.RunToHalt();
        Assert.Equal(1ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(0x8084ul, machine.State.Gpr[Gpr.RAX] & 0x80ff);
        Assert.Equal(stack - 32, machine.State.Gpr[Gpr.RSP]);
        Assert.Equal(waiting, machine.Read(stack - 40));
    }

    [Fact]
    public void AnUnmaskedVectorExceptionReachesItsHandlerAtOnce()
    {
        using TestMachine machine = Machine(64);
        machine.SetHandler((int)Vector.XM, TestMachine.Code + 0x800);
        machine.Load(a =>
        {
            a.stmxcsr(__dword_ptr[rsi]);
            a.hlt();
        }, TestMachine.Code + 0x800);
        machine.Write(TestMachine.Data, 0x1d80);
        machine.Load(a =>
        {
            a.mov(rsi, TestMachine.Data);
            a.ldmxcsr(__dword_ptr[rsi]);
            a.mov(eax, 1);
            a.cvtsi2sd(xmm0, eax);
            a.xorpd(xmm1, xmm1);
            a.divsd(xmm0, xmm1);
            a.mov(ebx, 2);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(0x1d84u, (uint)machine.Read(TestMachine.Data));
    }

    [Fact]
    public void AMaskedStoreTouchesOnlyItsBytes()
    {
        using TestMachine machine = Machine(64);
        machine.Write(PageEnd - 8, 0x1111111111111111, 0x2222222222222222);
        machine.Load(a =>
        {
            a.mov(rdi, PageEnd - 8);
            a.pcmpeqb(xmm1, xmm1);
            a.mov(rax, 0x80ff00000000007f);
            a.movq(xmm2, rax);
            a.mov(eax, 0x80);
            a.movd(xmm3, eax);
            a.punpcklqdq(xmm2, xmm3);
            a.maskmovdqu(xmm1, xmm2);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(0xffff111111111111ul, machine.Read(PageEnd - 8));
        Assert.Equal(0x22222222222222fful, machine.Read(PageEnd));
    }

    [Fact]
    public void FStoreEnvironmentHasItsSixteenBitLayoutUnderAnOperandSizePrefix()
    {
        using TestMachine machine = Machine(32);
        machine.State.Gpr[Gpr.RSI] = TestMachine.Data;
        machine.Write(TestMachine.Data, 0, ulong.MaxValue);
        machine.Load(a =>
        {
            a.fld1();
            a.db(0x66, 0xd9, 0x36);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(0x037ful, machine.Read(TestMachine.Data) & 0xffff);
        Assert.Equal(0x3800ul, machine.Read(TestMachine.Data) >> 16 & 0xffff);
        Assert.Equal(0x3ffful, machine.Read(TestMachine.Data) >> 32 & 0xffff);
        Assert.Equal(0xfffful, machine.Read(TestMachine.Data + 8) >> 48);
    }

    private static TestMachine Machine(int bitness)
    {
        var machine = new TestMachine(bitness);
        machine.State.Cr0 = (machine.State.Cr0 & ~(Cr0.EM | Cr0.TS)) | Cr0.NE;
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXMMEXCPT;
        return machine;
    }
}
