using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Interpreter.Sse;

/// <summary>Page faults of VEX instructions, and levels, on both back ends: code runs hot, so that what is translated is.</summary>
public sealed unsafe class VexMemoryTests
{
    /// <summary>The first page that is not there: 2 MiB that the tables leave out.</summary>
    private const ulong Absent = 0x40_0000, Handlers = 0x18_0000;
    private const int VectorBytes = 512;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void APageFaultOfAnyFormLeavesTheState(bool translated)
    {
        using TestMachine machine = New(translated);
        ulong at = TestMachine.Code;
        int count = 0;
        foreach (Code code in VexForms.All.Where(code => UnitForms.AllowsMemory(code) && !IsGather(code)))
        {
            Random random = new((int)code);
            Instruction instruction = UnitForms.Make(code, true, random);
            Fill(machine, random);
            MemoryStream bytes = new();
            Encoder.Create(64, new StreamCodeWriter(bytes)).Encode(instruction, at);
            bytes.WriteByte(0xf4);
            Assert.True(machine.Memory.TryWrite(new GuestPhysicalAddress(at), bytes.ToArray()));
            byte[] before = Vectors(machine);
            // All of it absent, or only its last byte where it may lie anywhere.
            ulong[] operands = IsAligned(code) ? [Absent] : [Absent, Absent - (ulong)instruction.MemorySize.GetSize() + 1];
            foreach (ulong operand in operands)
            {
                Start(machine, at, operand);
                machine.RunToHalt();
                Assert.Equal((code, (ulong)Vector.PF), (code, machine.State.Gpr[Gpr.RBX]));
                Assert.Equal((code, Absent), (code, machine.State.Cr2));
                Assert.True(before.AsSpan().SequenceEqual(Vectors(machine)), $"{instruction} has changed a register");
                Assert.Equal(0x1f80u, machine.State.Mxcsr);
            }
            at += 32;
            count++;
        }
        Assert.InRange(count, 300, 1000);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AGatherThatFaultsGoesOnWhereItWas(bool translated)
    {
        using TestMachine machine = New(translated);
        machine.Load(a =>
        {
            a.vpgatherdd(ymm1, __[rsi + ymm2 * 4], ymm3);
            a.hlt();
        });
        for (int i = 0; i < 8; i++)
        {
            Lane(machine, 1, i) = 0xaaaa_aaaa;
            // The fifth leads into the page that is absent, the second is not asked for.
            Lane(machine, 2, i) = i < 4 ? (uint)(-4 + i) : (uint)(i - 4);
            Lane(machine, 3, i) = i == 1 ? 0x7fff_ffffu : 0x8000_0000u + (uint)i;
        }
        machine.Write(Absent - 16, 0x1111_1111_0000_0000, 0x3333_3333_2222_2222);
        Start(machine, TestMachine.Code, Absent);
        machine.RunToHalt();
        Assert.Equal((ulong)Vector.PF, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(Absent, machine.State.Cr2);
        Assert.Equal([0, 0xaaaa_aaaa, 0x2222_2222, 0x3333_3333, 0xaaaa_aaaa, 0xaaaa_aaaa, 0xaaaa_aaaa, 0xaaaa_aaaa], Lanes(machine, 1));
        Assert.Equal([0, 0, 0, 0, 0x8000_0004, 0x8000_0005, 0x8000_0006, 0x8000_0007], Lanes(machine, 3));
        Map(machine, present: true);
        machine.Write(Absent, 0x5555_5555_4444_4444, 0x7777_7777_6666_6666);
        Start(machine, TestMachine.Code, Absent);
        machine.RunToHalt();
        Assert.Equal(0ul, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal([0, 0xaaaa_aaaa, 0x2222_2222, 0x3333_3333, 0x4444_4444, 0x5555_5555, 0x6666_6666, 0x7777_7777], Lanes(machine, 1));
        Assert.Equal(new uint[8], Lanes(machine, 3));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void ElementsThatTheMaskLeavesOutAreNotAccessed(bool translated)
    {
        using TestMachine machine = New(translated);
        machine.Load(a =>
        {
            a.vpmaskmovd(ymm1, ymm3, __[rsi - 16]);
            a.vpmaskmovd(__[rsi - 16], ymm3, ymm2);
            a.vmaskmovpd(ymm4, ymm3, __[rsi - 16]);
            a.hlt();
        });
        for (int i = 0; i < 8; i++)
        {
            Lane(machine, 1, i) = Lane(machine, 4, i) = 0xaaaa_aaaa;
            Lane(machine, 2, i) = (uint)i;
            Lane(machine, 3, i) = i is 1 or 3 ? 0x8000_0000 : 0x7fff_ffff;
        }
        machine.Write(Absent - 16, 0x1111_1111_0000_0000, 0x3333_3333_2222_2222);
        for (int i = 0; i < 3; i++)
        {
            // Three times, so that the block is translated at last.
            Start(machine, TestMachine.Code, Absent);
            machine.RunToHalt();
            Assert.Equal(0ul, machine.State.Gpr[Gpr.RBX]);
        }
        Assert.Equal([0, 1, 0, 3, 0, 0, 0, 0], Lanes(machine, 1));
        Assert.Equal(0x0000_0001_0000_0000ul, machine.Read(Absent - 16));
        Assert.Equal(0x0000_0003_2222_2222ul, machine.Read(Absent - 8));
        // As doubles, whose signs are the odd lanes'.
        Assert.Equal([0, 1, 0x2222_2222, 3, 0, 0, 0, 0], Lanes(machine, 4));

        Lane(machine, 3, 5) = 0x8000_0000;
        Start(machine, TestMachine.Code, Absent);
        machine.RunToHalt();
        Assert.Equal((ulong)Vector.PF, machine.State.Gpr[Gpr.RBX]);
        Assert.Equal(Absent + 4, machine.State.Cr2);
        Assert.Equal([0, 1, 0, 3, 0, 0, 0, 0], Lanes(machine, 1));
    }

    [Theory]
    [InlineData(CpuLevel.V1, false)]
    [InlineData(CpuLevel.V1, true)]
    [InlineData(CpuLevel.V2, false)]
    [InlineData(CpuLevel.V2, true)]
    [InlineData(CpuLevel.V3, false)]
    [InlineData(CpuLevel.V3, true)]
    public void WhatTheLevelDoesNotHaveIsUndefined(CpuLevel level, bool translated)
    {
        (CpuLevel Level, Action<Assembler> Write)[] instructions =
        [
            (CpuLevel.V2, a => a.popcnt(rax, rdx)), (CpuLevel.V2, a => a.pshufb(xmm1, xmm2)), (CpuLevel.V2, a => a.haddps(xmm1, xmm2)),
            (CpuLevel.V2, a => a.pminsb(xmm1, xmm2)), (CpuLevel.V2, a => a.pcmpgtq(xmm1, xmm2)), (CpuLevel.V2, a => a.crc32(eax, edx)),
            (CpuLevel.V2, a => a.cmpxchg16b(__xmmword_ptr[rsi])), (CpuLevel.V2, a => a.lahf()), (CpuLevel.V2, a => a.xgetbv()),
            (CpuLevel.V3, a => a.vpaddd(xmm1, xmm2, xmm3)), (CpuLevel.V3, a => a.vpaddd(ymm1, ymm2, ymm3)), (CpuLevel.V3, a => a.vfmadd213ps(ymm1, ymm2, ymm3)),
            (CpuLevel.V3, a => a.vcvtph2ps(ymm1, xmm2)), (CpuLevel.V3, a => a.andn(rax, rdx, rdx)), (CpuLevel.V3, a => a.shlx(rax, rdx, rdx)),
            (CpuLevel.V3, a => a.movbe(eax, __dword_ptr[rsi])), (CpuLevel.V3, a => a.aesenc(xmm1, xmm2)), (CpuLevel.V3, a => a.pclmulqdq(xmm1, xmm2, 0)),
            (CpuLevel.V3, a => a.sha256msg1(xmm1, xmm2)), (CpuLevel.V3, a => a.adcx(rax, rdx)), (CpuLevel.V3, a => a.rdseed(rax)),
            ((CpuLevel)4, a => a.vpaddd(zmm1, zmm2, zmm3)), ((CpuLevel)4, a => a.AddInstruction(Instruction.Create(Code.EVEX_Vpaddd_xmm_k1z_xmm_xmmm128b32, Register.XMM17, Register.XMM2, Register.XMM3))), ((CpuLevel)4, a => a.vaesenc(ymm1, ymm2, ymm3)),
            ((CpuLevel)4, a => a.gf2p8mulb(xmm1, xmm2)), ((CpuLevel)4, a => a.kmovw(k1, eax)),
        ];
        using TestMachine machine = New(translated, level);
        ulong at = TestMachine.Code;
        for (int i = 0; i < instructions.Length; i++, at += 64)
        {
            machine.Load(a =>
            {
                instructions[i].Write(a);
                a.hlt();
            }, at);
            for (int run = 0; run < 3; run++)
            {
                Start(machine, at, TestMachine.Data);
                machine.State.Gpr[Gpr.RCX] = 0;
                machine.RunToHalt();
                Assert.Equal((i, instructions[i].Level <= level ? 0ul : (ulong)Vector.UD), (i, machine.State.Gpr[Gpr.RBX]));
            }
        }
    }

    [Theory]
    [InlineData(CpuLevel.V2, false, 7ul, 4ul)]
    [InlineData(CpuLevel.V2, true, 7ul, 4ul)]
    [InlineData(CpuLevel.V3, false, 56ul, 4ul)]
    [InlineData(CpuLevel.V3, true, 56ul, 4ul)]
    public void CountsOfZerosAreBitScansBelowTheirLevel(CpuLevel level, bool translated, ulong leading, ulong trailing)
    {
        using TestMachine machine = New(translated, level);
        machine.Load(a =>
        {
            a.mov(edx, 0xf0);
            a.lzcnt(rax, rdx);
            a.tzcnt(rcx, rdx);
            a.hlt();
        });
        for (int run = 0; run < 3; run++)
        {
            Start(machine, TestMachine.Code, 0);
            machine.RunToHalt();
            Assert.Equal((leading, trailing), (machine.State.Gpr[Gpr.RAX], machine.State.Gpr[Gpr.RCX]));
        }
    }

    private static TestMachine New(bool translated, CpuLevel level = CpuLevel.V3)
    {
        TestMachine machine = new(64, level, backend: translated ? vcpu => new TranslatorBackend(vcpu, hot: 1) : null);
        machine.State.Cr0 |= Cr0.NE;
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXMMEXCPT;
        if (level >= CpuLevel.V2)
            machine.State.Cr4 |= Cr4.OSXSAVE;
        machine.State.Xcr0 |= CpuidModel.ExtendedStates(level);
        foreach (Vector vector in new[] { Vector.UD, Vector.GP, Vector.PF })
        {
            ulong handler = Handlers + (ulong)vector * 16;
            machine.SetHandler((int)vector, handler);
            machine.Load(a =>
            {
                a.mov(ebx, (int)vector);
                a.hlt();
            }, handler);
        }
        Map(machine, present: false);
        return machine;
    }

    private static void Map(TestMachine machine, bool present)
    {
        machine.Write(TestMachine.Tables + 0x2000 + (Absent >> 21) * 8, present ? Absent | 0x87 : 0);
        machine.Vcpu.Translations.FlushAll();
    }

    private static void Start(TestMachine machine, ulong at, ulong operand)
    {
        machine.State.Rip = at;
        machine.State.Halted = false;
        machine.State.Gpr[Gpr.RSI] = operand;
        machine.State.Gpr[Gpr.RBX] = 0;
        machine.State.Gpr[Gpr.RSP] = TestMachine.StackTop;
        machine.State.Cr2 = 0;
        machine.State.Mxcsr = 0x1f80;
    }

    private static bool IsGather(Code code) => code.ToString().Contains("gather", StringComparison.Ordinal);

    private static bool IsAligned(Code code) => code.Mnemonic() is Mnemonic.Vmovaps or Mnemonic.Vmovapd or Mnemonic.Vmovdqa
        or Mnemonic.Vmovntps or Mnemonic.Vmovntpd or Mnemonic.Vmovntdq or Mnemonic.Vmovntdqa;

    /// <summary>Random registers that, taken for masks, ask for every element.</summary>
    private static void Fill(TestMachine machine, Random random)
    {
        random.NextBytes(new Span<byte>(machine.Context->State.Vector, VectorBytes));
        for (int i = 0; i < VectorBytes; i++)
            machine.Context->State.Vector[i] |= 0x80;
    }

    private static byte[] Vectors(TestMachine machine) => new ReadOnlySpan<byte>(machine.Context->State.Vector, VectorBytes).ToArray();

    private static ref uint Lane(TestMachine machine, int register, int lane) => ref ((uint*)(machine.Context->State.Vector + 32 * register))[lane];

    private static uint[] Lanes(TestMachine machine, int register) => new ReadOnlySpan<uint>(machine.Context->State.Vector + 32 * register, 8).ToArray();
}
