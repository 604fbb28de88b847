using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>XSAVE, XSAVEOPT, XSAVEC, XRSTOR and XCR0 (Intel SDM 1, chapter 13).</summary>
public sealed unsafe class ExtendedStateTests
{
    private const ulong Area = TestMachine.Data, Untouched = 0x5555555555555555, Handlers = 0x18_0000;
    private const int Bits = Xcr0.HeaderOffset, Form = Xcr0.HeaderOffset + 8, Rest = Xcr0.HeaderOffset + 16;

    [Fact]
    public void WhatXsaveWritesXrstorBringsBack()
    {
        using TestMachine machine = Machine();
        machine.Load(a =>
        {
            Ask(a, 3);
            a.fldpi();
            a.mov(rax, 0x0123456789abcdef);
            a.movq(xmm15, rax);
            Ask(a, 3);
            a.xsave64(__[rsi]);
            a.fninit();
            a.pxor(xmm15, xmm15);
            a.xrstor64(__[rsi]);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(3ul, machine.Read(Area + Bits));
        Assert.Equal(0x0123456789abcdeful, *(ulong*)(machine.Context->State.Vector + 15 * 32));
        Assert.Equal(0xc90fdaa22168c235ul, machine.Context->State.X87[2 * 7]);
        // FXSAVE's MXCSR is there although nobody asked for AVX.
        Assert.Equal(0x1f80ul, machine.Read(Area + 24) & 0xffff);
    }

    [Fact]
    public void OptimizedAndCompactedSavesLeaveOutWhatIsInItsInitialState()
    {
        using TestMachine machine = Machine();
        machine.Load(a =>
        {
            a.fldpi();
            Ask(a, 3);
            a.xsaveopt64(__[rsi]);
            a.add(rsi, 0x1000);
            a.xsavec64(__[rsi]);
            a.hlt();
        });
        for (ulong at = 0; at < Xcr0.HeaderOffset; at += 8)
        {
            machine.Write(Area + at, Untouched);
            machine.Write(Area + 0x1000 + at, Untouched);
        }
        machine.RunToHalt();
        Assert.Equal(1ul, machine.Read(Area + Bits));
        Assert.Equal(Untouched, machine.Read(Area + 160));
        Assert.NotEqual(Untouched, machine.Read(Area + 24));
        Assert.Equal(1ul, machine.Read(Area + 0x1000 + Bits));
        Assert.Equal(3ul | 1ul << 63, machine.Read(Area + 0x1000 + Form));
        Assert.Equal(Untouched, machine.Read(Area + 0x1000 + 24));
    }

    [Fact]
    public void ComponentsThatTheHeaderDoesNotNameBecomeInitial()
    {
        using TestMachine machine = Machine();
        machine.Write(Area + Bits, 0);
        machine.Write(Area + 24, 0x1fa0);
        machine.Load(a =>
        {
            a.fldpi();
            a.mov(eax, 7);
            a.movd(xmm3, eax);
            Ask(a, 2);
            a.xrstor64(__[rsi]);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(0ul, *(ulong*)(machine.Context->State.Vector + 3 * 32));
        // x87 was not asked for; MXCSR comes from a standard area whatever the header says.
        Assert.NotEqual(0, machine.State.X87Tag);
        Assert.Equal(0x1fa0u, machine.State.Mxcsr);
    }

    [Theory]
    [InlineData(Bits, 4ul)]
    [InlineData(Form, 1ul)]
    [InlineData(Form, 1ul << 63 | 4)]
    [InlineData(Rest, 1ul)]
    [InlineData(24, 0x1_0000ul)]
    public void AnAreaThatNoProcessorWroteIsAProtectionFault(int offset, ulong value)
    {
        using TestMachine machine = Machine();
        machine.Write(Area + (ulong)offset, value);
        machine.Load(a =>
        {
            a.mov(eax, 7);
            a.movd(xmm3, eax);
            Ask(a, 3);
            a.xrstor64(__[rsi]);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal((ulong)Vector.GP, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(7ul, *(ulong*)(machine.Context->State.Vector + 3 * 32));
    }

    [Fact]
    public void AnAreaOffItsBoundaryIsAProtectionFault()
    {
        using TestMachine machine = Machine();
        machine.Load(a =>
        {
            a.add(rsi, 16);
            Ask(a, 3);
            a.xsave64(__[rsi]);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal((ulong)Vector.GP, machine.State.Gpr[Gpr.RBX]);
    }

    [Theory]
    [InlineData(0ul, 0ul, false)]
    [InlineData(0ul, 1ul, true)]
    [InlineData(0ul, 2ul, false)]
    [InlineData(0ul, 3ul, true)]
    [InlineData(0ul, 5ul, false)]
    [InlineData(0ul, 7ul, false)]
    [InlineData(0ul, 1ul << 9 | 3, false)]
    [InlineData(1ul, 3ul, false)]
    public void TheSecondLevelsXcr0TakesX87AndSse(ulong index, ulong value, bool allowed) => SetsControl(CpuLevel.V2, index, value, allowed);

    [Theory]
    [InlineData(0ul, 3ul, true)]
    [InlineData(0ul, 5ul, false)]
    [InlineData(0ul, 7ul, true)]
    [InlineData(0ul, 0xe7ul, false)]
    public void TheThirdLevelsXcr0TakesAvxToo(ulong index, ulong value, bool allowed) => SetsControl(CpuLevel.V3, index, value, allowed);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void UpperHalvesAreAComponentOfTheirOwn(bool compacted)
    {
        using TestMachine machine = Machine(CpuLevel.V3);
        machine.Load(a =>
        {
            a.mov(rax, 0x0123456789abcdef);
            a.vmovq(xmm15, rax);
            a.vinserti128(ymm15, ymm15, xmm15, 1);
            Ask(a, 7);
            if (compacted)
                a.xsavec64(__[rsi]);
            else
                a.xsave64(__[rsi]);
            a.vzeroall();
            // SSE alone does not bring the upper halves, AVX alone nothing else.
            Ask(a, 2);
            a.xrstor64(__[rsi]);
            a.vmovdqu(ymm1, ymm15);
            Ask(a, 4);
            a.vzeroall();
            a.xrstor64(__[rsi]);
            a.vextracti128(xmm2, ymm15, 1);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(compacted ? 7ul | 1ul << 63 : 0, machine.Read(Area + Form));
        Assert.Equal(0x0123456789abcdeful, machine.Read(Area + Xcr0.AvxOffset + 15 * 16));
        Assert.Equal(0x0123456789abcdeful, *(ulong*)(machine.Context->State.Vector + 2 * 32));
        Assert.Equal(0ul, *(ulong*)(machine.Context->State.Vector + 15 * 32));
    }

    [Fact]
    public void WithoutOsxsaveNothingOfItExists()
    {
        foreach (Action<Assembler> one in new Action<Assembler>[] { a => a.xgetbv(), a => a.xsetbv(), a => a.xsave(__[rsi]), a => a.xrstor(__[rsi]), a => a.xsavec(__[rsi]) })
        {
            using TestMachine machine = Machine();
            machine.State.Cr4 &= ~Cr4.OSXSAVE;
            machine.Load(a =>
            {
                Ask(a, 3);
                one(a);
                a.hlt();
            });
            machine.RunToHalt();
            Assert.Equal((ulong)Vector.UD, machine.State.Gpr[Gpr.RBX]);
        }
    }

    [Fact]
    public void CpuidGivesTheSizesThatXcr0Makes()
    {
        using TestMachine machine = Machine();
        machine.Load(a =>
        {
            a.mov(eax, 0xd);
            a.xor(ecx, ecx);
            a.cpuid();
            a.mov(r8, rax);
            a.mov(r9, rbx);
            a.mov(r10, rcx);
            a.mov(eax, 1);
            a.cpuid();
            a.mov(r11, rcx);
            a.xor(ebx, ebx);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(3ul, machine.State.Gpr[8]);
        Assert.Equal(576ul, machine.State.Gpr[9]);
        Assert.Equal(576ul, machine.State.Gpr[10]);
        // XSAVE and, as CR4 has it set, OSXSAVE.
        Assert.Equal(3ul, machine.State.Gpr[11] >> 26 & 3);
    }

    private static void SetsControl(CpuLevel level, ulong index, ulong value, bool allowed)
    {
        using TestMachine machine = Machine(level);
        machine.Load(a =>
        {
            Ask(a, value);
            a.mov(ecx, (uint)index);
            a.xsetbv();
            a.hlt();
        });
        ulong before = machine.State.Xcr0;
        machine.RunToHalt();
        Assert.Equal(allowed ? 0 : (ulong)Vector.GP, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(allowed ? value : before, machine.State.Xcr0);
    }

    private static void Ask(Assembler a, ulong components)
    {
        a.mov(eax, (uint)components);
        a.mov(edx, (uint)(components >> 32));
    }

    /// <summary>XCR0 all on that the level has; a fault leaves its vector in RBX and halts.</summary>
    private static TestMachine Machine(CpuLevel level = CpuLevel.V2)
    {
        TestMachine machine = new(64, level);
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXMMEXCPT | Cr4.OSXSAVE;
        machine.State.Xcr0 = CpuidModel.ExtendedStates(level);
        machine.State.Gpr[Gpr.RSI] = Area;
        foreach (Vector vector in new[] { Vector.UD, Vector.NM, Vector.GP, Vector.PF })
        {
            ulong handler = Handlers + (ulong)vector * 16;
            machine.SetHandler((int)vector, handler);
            machine.Load(a =>
            {
                a.mov(ebx, (int)vector);
                a.hlt();
            }, handler);
        }
        return machine;
    }
}
