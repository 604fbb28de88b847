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

/// <summary>Code caches that are too small for the code that runs: the oldest goes, and nothing may lead to where it was.</summary>
public sealed unsafe class EvictionTests(ITestOutputHelper output)
{
    private const int Functions = 2000, Spacing = 64;
    private const ulong FirstFunction = TestMachine.Code + 0x4000;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void RandomProgramsEndAlikeWhereTheCachesHoldAPartOfThem(int way)
    {
        int first = Environment.TickCount & ~1 | way;
        output.WriteLine($"seeds from {first}, every second");
        (long blocks, long translations) = (0, 0);
        for (int seed = first; seed < first + 8; seed += 2)
        {
            using TestMachine interpreted = Prepared(seed, ProgramComparison.Interpreter), cramped = Prepared(seed, ProgramComparison.Cramped);
            interpreted.RunToHalt();
            cramped.RunToHalt();
            if (ProgramComparison.Difference(interpreted, cramped) is not null)
                Assert.Fail($"seed {seed}: {ProgramComparison.Locate(backend => Prepared(seed, backend), ProgramComparison.Cramped, (long)interpreted.State.RetiredInstructions)}");
            (long Blocks, long Translations) evicted = ((TranslatorBackend)cramped.Backend).Evicted;
            (blocks, translations) = (blocks + evicted.Blocks, translations + evicted.Translations);
        }
        output.WriteLine($"{blocks} blocks and {translations} translations evicted");
        Assert.True(blocks > 500, $"only {blocks} blocks were evicted");
        Assert.True(translations > 50, $"only {translations} translations were evicted");
    }

    /// <summary>
    /// Two thousand functions on 32 pages call each other straight on, by address and by tables, in changing order; each
    /// adds to a sum what its code says, and some are patched.
    /// </summary>
    [Theory]
    [InlineData(32, false)]
    [InlineData(4096, false)]
    [InlineData(128, true)]
    [InlineData(4096, true)]
    public void FunctionsThatCallEachOtherAddUpWhateverTheCachesHold(int codeKib, bool roomForAll)
    {
        const uint Rounds = 20;
        Random random = new(7);
        int[] constants = [.. Enumerable.Range(0, Functions).Select(_ => random.Next(1, 100))];
        int[] tails = [.. Enumerable.Range(0, Functions).Select(i => random.Next(i + 1, Functions + 1))];
        TranslatorBackend? backend = null;
        using TestMachine machine = new(64, memory: 8 << 20, backend: vcpu => backend = new TranslatorBackend(vcpu, codeKib << 10, roomForAll ? 4 << 20 : TranslatorBackend.LeastNativeBytes, hot: 2));
        for (int i = 0; i < Functions; i++)
        {
            int number = i;
            machine.Load(a =>
            {
                // The constant lies in the instruction's last four bytes.
                a.add(rax, 0x1000_0000 + constants[number]);
                a.inc(ebx);
                if (tails[number] < Functions)
                    a.jmp(Address(tails[number]));
                a.ret();
            }, Address(i));
        }
        machine.Load(a =>
        {
            Label round = a.CreateLabel(), each = a.CreateLabel();
            a.mov(r12d, Rounds);
            a.Label(ref round);
            a.mov(r13, FirstFunction);
            a.mov(ecx, Functions);
            a.Label(ref each);
            a.call(r13);
            a.add(r13, Spacing);
            a.dec(ecx);
            a.jnz(each);
            // Function r12's constant grows by one.
            a.mov(edx, r12d);
            a.imul(edx, edx, Spacing);
            a.mov(rsi, FirstFunction);
            a.inc(__dword_ptr[rsi + rdx + 2]);
            a.dec(r12d);
            a.jnz(round);
            a.hlt();
        });
        (ulong sum, ulong calls) = (0, 0);
        for (uint round = Rounds; round > 0; round--)
        {
            for (int start = 0; start < Functions; start++)
                for (int i = start; i < Functions; i = tails[i], calls++)
                    sum += (ulong)(0x1000_0000 + constants[i]);
            constants[round]++;
        }
        machine.RunToHalt();
        Assert.Equal((sum, calls), (machine.State.Gpr[Gpr.RAX], machine.State.Gpr[Gpr.RBX]));
        output.WriteLine($"{backend!.Evicted}, {backend.Blocks}");
        // A round goes through more blocks than the smaller caches hold.
        Assert.Equal(codeKib < 4096, backend.Evicted.Blocks > Rounds);
        if (codeKib >= 4096)
            Assert.Equal(!roomForAll, backend.Evicted.Translations > Rounds);
    }

    [Fact]
    public void ACacheTooSmallForOneBlockIsRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new TestMachine(64, backend: vcpu => new InterpreterBackend(vcpu, 4096)));
        Assert.Throws<ArgumentOutOfRangeException>(() => new TestMachine(64, backend: vcpu => new TranslatorBackend(vcpu, nativeBytes: 4096)));
    }

    private static ulong Address(int function) => FirstFunction + (ulong)(function * Spacing);

    private static TestMachine Prepared(int seed, Func<Vcpu, IVcpuBackend> backend)
    {
        TestMachine machine = new(64, backend: backend, services: new EveryVectorFeature());
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXSAVE;
        machine.State.Xcr0 = Xcr0.X87 | Xcr0.Sse | Xcr0.Avx;
        byte[] window = new byte[RandomProgram.WindowBytes];
        new Random(seed).NextBytes(window);
        Assert.True(machine.Memory.TryWrite(new GuestPhysicalAddress(RandomProgram.Window), window));
        machine.Load(a => new RandomProgram(seed).Write(a, 120, 12));
        return machine;
    }
}
