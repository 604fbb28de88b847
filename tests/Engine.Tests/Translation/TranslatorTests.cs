using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>GODWIT_PROGRAMS and GODWIT_PROGRAM_SEED choose how many random programs run, and from which seed on.</summary>
public sealed unsafe class TranslatorTests(ITestOutputHelper output)
{
    private static TranslatorBackend Eager(Vcpu vcpu) => ProgramComparison.Eager(vcpu);

    private static InterpreterBackend Interpreter(Vcpu vcpu) => ProgramComparison.Interpreter(vcpu);

    [Fact]
    public void RandomProgramsEndInTheInterpretersState()
    {
        int programs = int.Parse(Environment.GetEnvironmentVariable("GODWIT_PROGRAMS") ?? "30");
        int first = int.Parse(Environment.GetEnvironmentVariable("GODWIT_PROGRAM_SEED") ?? Environment.TickCount.ToString());
        output.WriteLine($"seeds from {first}");
        for (int i = 0; i < programs; i++)
        {
            int seed = first + i;
            using TestMachine interpreted = Prepared(seed, Interpreter), translated = Prepared(seed, Eager);
            interpreted.RunToHalt();
            translated.RunToHalt();
            if (ProgramComparison.Difference(interpreted, translated) is not null)
                Assert.Fail($"seed {seed}: {ProgramComparison.Locate(backend => Prepared(seed, backend), Eager, (long)interpreted.State.RetiredInstructions)}");
            Assert.True(((TranslatorBackend)translated.Backend).Blocks.Translated > 20, $"seed {seed}: almost nothing was translated");
        }
    }

    [Fact]
    public void SwitchingBackEndsAtAnyInstructionChangesNothing()
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        for (int seed = first; seed < first + 10; seed++)
        {
            using TestMachine interpreted = Prepared(seed, Interpreter), switching = Prepared(seed, Eager);
            interpreted.RunToHalt();
            Random random = new(seed);
            bool translates = true;
            while (!switching.State.Halted)
            {
                long budget = random.Next(1, 3000);
                ulong before = switching.State.RetiredInstructions;
                VcpuExit exit = switching.Backend.Run(budget);
                if (exit == VcpuExit.Interrupted)
                    Assert.Equal((ulong)budget, switching.State.RetiredInstructions - before);
                translates = !translates;
                switching.Switch(translates ? Eager : Interpreter);
            }
            string? difference = ProgramComparison.Difference(interpreted, switching);
            Assert.True(difference is null, $"seed {seed}: {difference}");
        }
    }

    [Fact]
    public void AStoreIntoTranslatedCodeIsSeenByTheNextRound()
    {
        using TestMachine machine = new(64, backend: Eager);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), patched = a.CreateLabel();
            a.mov(ecx, 100);
            a.lea(rsi, __[patched]);
            a.Label(ref top);
            a.nop();
            a.Label(ref patched);
            a.add(ebx, 1);
            a.cmp(ecx, 50);
            Label same = a.CreateLabel();
            a.jne(same);
            // add ebx, imm8: the constant becomes 3.
            a.mov(__byte_ptr[rsi + 2], 3);
            a.Label(ref same);
            a.dec(ecx);
            a.jnz(top);
            a.hlt();
        });
        machine.RunToHalt();
        Assert.Equal(51ul + 49 * 3, machine.State.Gpr[Gpr.RBX]);
    }

    [Fact]
    public void ATranslatedLoadThatFaultsLeavesTheStateBeforeIt()
    {
        const ulong Handler = TestMachine.Code + 0x1000, Missing = 0x4000_0000;
        using TestMachine machine = new(64, backend: Eager);
        machine.SetHandler(14, Handler);
        machine.Load(a => a.hlt(), Handler);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.mov(rsi, TestMachine.Data);
            a.mov(r9d, 20);
            a.mov(rdi, Missing);
            a.Label(ref top);
            a.add(r9d, -1);
            a.cmovz(rsi, rdi);
            a.add(r10, r9);
            a.mov(rax, __[rsi]);
            a.jmp(top);
        });
        machine.RunToHalt();
        Assert.Equal(Missing, machine.State.Cr2);
        Assert.Equal(190ul, machine.State.Gpr[10]);
        Assert.Equal(0ul, machine.State.Gpr[9]);
        ulong frame = machine.State.Gpr[Gpr.RSP];
        // The load is three bytes long and followed by a jump of two.
        Assert.Equal(0x8bul, machine.Read(machine.Read(frame + 8)) >> 8 & 0xff);
        // 190 has six bits set.
        Assert.Equal(Rflags.PF, machine.Read(frame + 24) & (Rflags.ZF | Rflags.CF | Rflags.PF));
    }

    [Fact]
    public void ABudgetEndsTranslatedCodeAtItsExactInstruction()
    {
        using TestMachine machine = new(64, backend: Eager);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.inc(eax);
            a.inc(ebx);
            a.inc(ecx);
            a.jmp(top);
        });
        Assert.Equal(VcpuExit.Interrupted, machine.Backend.Run(4001));
        Assert.Equal(4001ul, machine.State.RetiredInstructions);
        Assert.Equal((1001ul, 1000ul), (machine.State.Gpr[Gpr.RAX], machine.State.Gpr[Gpr.RBX]));
    }

    [Fact]
    public void AJumpToAnAddressThatIsNotCanonicalFaults()
    {
        const ulong Handler = TestMachine.Code + 0x1000;
        using TestMachine machine = new(64, backend: Eager);
        machine.SetHandler(13, Handler);
        machine.Load(a => a.hlt(), Handler);
        machine.Load(a =>
        {
            Label top = a.CreateLabel(), away = a.CreateLabel();
            a.mov(ecx, 10);
            a.lea(rax, __[away]);
            a.mov(rdx, 1ul << 63);
            a.Label(ref top);
            a.sub(ecx, 1);
            a.cmovz(rax, rdx);
            a.jmp(rax);
            a.Label(ref away);
            a.jmp(top);
        });
        machine.RunToHalt();
        Assert.Equal(1ul << 63, machine.State.Gpr[Gpr.RAX]);
    }

    private static TestMachine Prepared(int seed, Func<Vcpu, IVcpuBackend> backend)
    {
        TestMachine machine = new(64, backend: backend, services: new EveryVectorFeature());
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXSAVE;
        machine.State.Xcr0 = Xcr0.X87 | Xcr0.Sse | Xcr0.Avx;
        byte[] window = new byte[RandomProgram.WindowBytes];
        new Random(seed).NextBytes(window);
        Assert.True(machine.Memory.TryWrite(new GuestPhysicalAddress(RandomProgram.Window), window));
        machine.Load(a => new RandomProgram(seed).Write(a, 60, 200));
        return machine;
    }
}
