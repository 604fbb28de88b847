using Godwit.Engine.Cpu;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

/// <summary>Random bytes executed with every privilege: whatever they do, it is the guest's affair and never an exception of the engine's.</summary>
public sealed unsafe class HostileCodeTests
{
    /// <summary>Beginnings of system instructions, so that noise meets them more often than by chance.</summary>
    private static readonly byte[][] _seeds =
    [
        [0x0f, 0x00], [0x0f, 0x01], [0x0f, 0x02], [0x0f, 0x03], [0x0f, 0x05], [0x0f, 0x07], [0x0f, 0x20], [0x0f, 0x21], [0x0f, 0x22], [0x0f, 0x23],
        [0x0f, 0x30], [0x0f, 0x31], [0x0f, 0x32], [0x0f, 0x34], [0x0f, 0x35], [0x0f, 0xa1], [0x0f, 0xb2], [0x0f, 0xc7], [0x0f, 0xae], [0x8e], [0x8c],
        [0xcf], [0x48, 0xcf], [0xcb], [0xca], [0x9a], [0xea], [0xff], [0xcd], [0xcc], [0xf1], [0xf4], [0xfa], [0xfb], [0x6c], [0x6e], [0xf3, 0x6c], [0x9d],
        [0x48, 0x0f, 0x07], [0xf3, 0x0f, 0xae], [0xe4], [0xe6], [0xec], [0xee], [0x0f, 0x01, 0xf8], [0x0f, 0x01, 0xcb], [0x0f, 0x01, 0xd0],
    ];

    [Theory]
    [InlineData(16)]
    [InlineData(32)]
    [InlineData(64)]
    public void NoGuestCodeMakesTheEngineThrow(int bitness)
    {
        int seed = Environment.TickCount;
        Random random = new(seed);
        byte[] code = new byte[256];
        int exits = 0;
        for (int round = 0; round < 150; round++)
        {
            using InstructionBench bench = bitness == 64 ? InstructionBench.Long() : bitness == 32 ? InstructionBench.Protected() : new InstructionBench();
            if (bitness == 16)
            {
                bench.State.Cs.Base = InstructionBench.Code;
                bench.State.Rip = 0;
            }
            for (int attempt = 0; attempt < 20; attempt++)
            {
                Fill(random, code);
                Assert.True(bench.Cpu.Memory.TryWrite(new(InstructionBench.Code), code));
                if (random.Next(3) == 0)
                    Scramble(random, bench);
                try
                {
                    VcpuExit exit = bench.Run(200);
                    exits++;
                    if (exit == VcpuExit.Shutdown)
                        break;
                    bench.State.Halted = false;
                    bench.State.Rip = bitness == 16 ? 0 : InstructionBench.Code;
                }
                catch (Exception exception)
                {
                    Assert.Fail($"seed {seed} round {round} attempt {attempt} code {Convert.ToHexString(code)}: {exception}");
                }
            }
        }
        Assert.True(exits > 100, $"seed {seed}: only {exits} runs");
    }

    [Fact]
    public void AHandlerThatFaultsForEverLetsTheRunEnd()
    {
        using InstructionBench bench = InstructionBench.Long();
        bench.Load(64, CpuBench.Handler((int)Vector.UD), a => a.ud2());
        bench.Load(64, InstructionBench.Code, a => a.ud2());
        // The same stack again and again, so that it does not run out.
        bench.Cpu.SetGate64((int)Vector.UD, ist: 1);
        for (int i = 0; i < 3; i++)
            Assert.Equal(VcpuExit.Interrupted, bench.Run());
        Assert.Equal(CpuBench.Handler((int)Vector.UD), bench.State.Rip);
        Assert.Equal(0ul, bench.State.RetiredInstructions);
    }

    private static void Fill(Random random, byte[] code)
    {
        random.NextBytes(code);
        for (int i = 0; i < code.Length - 4; i += random.Next(1, 12))
        {
            byte[] seed = _seeds[random.Next(_seeds.Length)];
            seed.CopyTo(code, i);
            i += seed.Length;
        }
    }

    /// <summary>Registers, tables and segments as a hostile guest could have left them.</summary>
    private static void Scramble(Random random, InstructionBench bench)
    {
        ref CpuState state = ref bench.State;
        for (int i = 0; i < 16; i++)
            state.Gpr[i] = random.Next(3) switch
            {
                0 => (ulong)random.NextInt64(),
                1 => (ulong)random.Next(0x40_0000),
                _ => 0xc000_0080ul + (ulong)random.Next(8),
            };
        byte[] noise = new byte[0x1000];
        random.NextBytes(noise);
        ulong target = random.Next(4) switch
        {
            0 => CpuBench.Gdt,
            1 => CpuBench.Idt,
            2 => CpuBench.Tss,
            _ => CpuBench.Tables + 0x2000,
        };
        Assert.True(bench.Cpu.Memory.TryWrite(new(target), noise.AsSpan(0, random.Next(noise.Length))));
        if (random.Next(4) == 0)
            bench.Cpu.DropToUser(random.Next(2) == 0);
    }
}
