using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Interpreter;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>Loops that run several turns at a time, over pages of which some are missing, read-only, or watched for writes.</summary>
public sealed unsafe class LoopTests(ITestOutputHelper output)
{
    private static readonly PagedWindow _window = new(pages: 8);

    [Fact]
    public void RandomLoopsFaultWhereTheInterpreterFaults()
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        ProgramComparison.AssertEqual(Prepared, ProgramComparison.Eager, (first, 60), slices: 1, (_, _) => 100_000);
    }

    [Fact]
    public void EveryBudgetEndsALoopWhereTheInterpreterEnds()
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        ProgramComparison.AssertEqual(Prepared, ProgramComparison.Eager, (first, 10), slices: 25, (_, random) => random.Next(1, 200));
    }

    [Fact]
    public void PagesWrittenInALoopAreDirtyInEveryRound()
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        for (int seed = first; seed < first + 10; seed++)
        {
            using TestMachine interpreted = Prepared(seed, ProgramComparison.Interpreter), translated = Prepared(seed, ProgramComparison.Eager);
            using DirtySession one = interpreted.Memory.Dirty.Open("one"), two = translated.Memory.Dirty.Open("two");
            Random random = new(seed);
            for (int round = 0; round < 30; round++)
            {
                int budget = random.Next(50, 2000);
                Assert.Equal(Collect(interpreted, one, budget), Collect(translated, two, budget));
            }
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(4)]
    [InlineData(8)]
    public void ALongStringInstructionStopsAtTheElementThatFaults(int size)
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        for (int seed = first; seed < first + 10; seed++)
        {
            using TestMachine interpreted = Strings(seed, size, ProgramComparison.Interpreter), translated = Strings(seed, size, ProgramComparison.Eager);
            ProgramComparison.Execute(interpreted, 1000);
            ProgramComparison.Execute(translated, 1000);
            string? difference = ProgramComparison.Difference(interpreted, translated);
            Assert.True(difference is null, $"seed {seed}: {difference}");
            Assert.True(translated.State.Halted);
        }
    }

    /// <summary>The pages that are dirty after some instructions of a new round.</summary>
    private static string Collect(TestMachine machine, DirtySession session, int budget)
    {
        machine.Vcpu.Translations.RevokeWritePermissions();
        ProgramComparison.Execute(machine, budget);
        PageBitmap pages = new(machine.Memory.PageCount);
        session.Collect(pages);
        return string.Join(' ', Enumerable.Range(0, machine.Memory.PageCount).Where(page => pages.Contains(new PageNumber((ulong)page))));
    }

    /// <summary>Loops one after the other, for ever; a handler gives up the loop that faults.</summary>
    private static TestMachine Prepared(int seed, Func<Vcpu, IVcpuBackend> backend)
    {
        Random random = new(seed);
        TestMachine machine = Paged(random, backend);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.mov(rbp, rsp);
            a.Label(ref top);
            for (int i = 0; i < 6; i++)
                Loop(a, random);
            a.jmp(top);
        });
        PagedWindow.LoadHandler(machine);
        return machine;
    }

    private static void Loop(Assembler a, Random random)
    {
        Label again = a.CreateLabel(), next = a.CreateLabel(), entry = a.CreateLabel();
        // Entered in its middle, a loop is closed by a branch that mostly does not jump.
        bool isRotated = random.Next(3) == 0;
        AssemblerRegister64 pointer = random.Next(3) == 0 ? r8 : rsi, step = random.Next(4) == 0 ? r9 : rdx;
        a.lea(r13, __[next]);
        a.mov(pointer, (long)PagedWindow.Start + random.Next(-200, _window.Bytes));
        a.mov(step, random.Next(6) switch
        {
            0 => random.NextInt64(),
            1 => -random.Next(5000),
            2 => 1L << 63,
            _ => random.Next(600),
        });
        a.mov(ecx, random.Next(1, 3000));
        a.mov(rdi, (long)PagedWindow.Start + random.Next((int)PageNumber.Size));
        bool stepped = random.Next(2) == 0;
        int constant = random.Next(-64, 200);
        if (isRotated)
        {
            a.jmp(entry);
            a.Label(ref again);
            Advance();
            a.dec(ecx);
            a.jz(next);
            a.Label(ref entry);
        }
        else
            a.Label(ref again);
        for (int i = random.Next(1, 6); i > 0; i--)
        {
            int place = random.Next(-60, 60);
            switch (random.Next(12))
            {
                case 0: a.mov(eax, __dword_ptr[pointer + place]); break;
                case 1: a.mov(__byte_ptr[pointer + place], 1); break;
                case 2: a.add(__word_ptr[pointer + place], bx); break;
                case 3: a.cmp(__byte_ptr[pointer + place], 0); a.adc(ebx, eax); break;
                case 4: a.mov(__qword_ptr[pointer + place], rbx); break;
                case 5: a.movaps(xmm1, __xmmword_ptr[rdi + (place & -16)]); break;
                case 6: a.movups(__xmmword_ptr[pointer + place], xmm1); break;
                case 7: a.movzx(eax, __byte_ptr[pointer + place]); a.add(bl, __byte_ptr[rdi + rax]); break;
                case 8: a.mov(rdi, __qword_ptr[pointer + place]); a.and(rdi, 0x1ff0); a.add(rdi, (int)PagedWindow.Start); break;
                case 9: a.add(rbx, pointer); break;
                case 10: a.add(__dword_ptr[rdi + place], ebx); break;
                case 11: a.shl(rbx, 3); a.sub(rbx, __qword_ptr[rdi + place]); break;
            }
        }
        if (isRotated)
        {
            a.test(ecx, 7);
            a.jnz(again);
            a.inc(rbx);
            a.jmp(again);
        }
        else
        {
            Advance();
            a.dec(ecx);
            a.jnz(again);
        }
        a.Label(ref next);
        a.nop();

        void Advance()
        {
            if (stepped)
                a.add(pointer, step);
            else
                a.add(pointer, constant);
            if (random.Next(2) == 0)
                a.mov(__byte_ptr[pointer], bl);
        }
    }

    private static TestMachine Strings(int seed, int size, Func<Vcpu, IVcpuBackend> backend)
    {
        Random random = new(seed);
        TestMachine machine = Paged(random, backend);
        machine.Load(a => a.hlt(), PagedWindow.Handler);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.mov(ebx, 20);
            a.Label(ref top);
            // Short runs make it hot; the last one is long, over whatever pages come.
            a.mov(ecx, 3);
            a.mov(eax, 70_000 / size);
            a.dec(ebx);
            a.cmovz(ecx, eax);
            a.mov(rsi, (long)TestMachine.Data + random.Next(0x2000));
            a.mov(rdi, (long)PagedWindow.Start - 0x800 + random.Next(0x1000));
            switch (size, random.Next(2))
            {
                case (1, 0): a.rep.movsb(); break;
                case (2, 0): a.rep.movsw(); break;
                case (4, 0): a.rep.movsd(); break;
                case (8, 0): a.rep.movsq(); break;
                case (1, _): a.rep.stosb(); break;
                case (2, _): a.rep.stosw(); break;
                case (4, _): a.rep.stosd(); break;
                default: a.rep.stosq(); break;
            }
            a.test(ebx, ebx);
            a.jnz(top);
            a.hlt();
        });
        return machine;
    }

    private static TestMachine Paged(Random random, Func<Vcpu, IVcpuBackend> backend)
    {
        TestMachine machine = new(64, memory: 4 << 20, backend: backend);
        machine.State.Cr4 |= Cr4.OSFXSR;
        _window.Map(machine, random, entry => random.Next(8) switch { 0 => entry & ~3ul, 1 => entry & ~2ul, _ => entry });
        return machine;
    }
}
