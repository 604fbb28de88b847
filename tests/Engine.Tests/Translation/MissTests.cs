using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Translation;
using Iced.Intel;
using Xunit;
using Xunit.Abstractions;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>
/// Code whose pages have all left the TLB: what can be filled in is, and host code goes on; what faults, reaches a device or
/// is not aligned ends as in the interpreter, page tables' accessed and dirty flags included.
/// </summary>
public sealed unsafe class MissTests(ITestOutputHelper output)
{
    private const ulong Nowhere = 0x4000_0000;

    private static readonly PagedWindow _window = new(pages: 16);

    [Fact]
    public void RandomCodeThatMissesEndsAsInterpreted()
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        ProgramComparison.AssertEqual(Prepared, ProgramComparison.Eager, (first, 50), slices: 1, (_, _) => 20_000);
    }

    [Fact]
    public void EveryBudgetEndsCodeThatMissesWhereTheInterpreterEnds()
    {
        int first = Environment.TickCount;
        output.WriteLine($"seeds from {first}");
        ProgramComparison.AssertEqual(Prepared, ProgramComparison.Eager, (first, 20), slices: 40, (_, random) => random.Next(1, 150));
    }

    [Fact]
    public void HostCodeGoesOnAfterMisses()
    {
        TranslatorStatistics statistics = new();
        using TestMachine machine = new(64, backend: vcpu => new TranslatorBackend(vcpu, codeBytes: 4 << 20, nativeBytes: 4 << 20, hot: 2) { Statistics = statistics });
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.Label(ref top);
            a.mov(rax, cr3);
            a.mov(cr3, rax);
            a.mov(rsi, (long)TestMachine.Data);
            for (int i = 0; i < 8; i++)
            {
                a.add(rbx, __qword_ptr[rsi]);
                a.mov(__qword_ptr[rsi + 8], rbx);
                a.add(rsi, 8192);
            }
            a.jmp(top);
        });
        ProgramComparison.Execute(machine, 100_000);
        // Of 28 instructions the two of CR3 are the interpreter's.
        Assert.InRange(statistics.Native, 90_000, 100_000);
    }

    /// <summary>Pieces of straight code, each after a flush of the TLB, for ever; a handler gives up the piece that faults.</summary>
    private static TestMachine Prepared(int seed, Func<Vcpu, IVcpuBackend> backend)
    {
        Random random = new(seed);
        bool wide = HostFeatures.HasAvx && random.Next(2) == 0;
        TestMachine machine = Paged(random, backend);
        machine.Load(a =>
        {
            Label top = a.CreateLabel();
            a.mov(rbp, rsp);
            a.Label(ref top);
            for (int i = 0; i < 6; i++)
                Piece(a, random, wide);
            a.jmp(top);
        });
        PagedWindow.LoadHandler(machine);
        return machine;
    }

    private static void Piece(Assembler a, Random random, bool wide)
    {
        Label next = a.CreateLabel(), twice = a.CreateLabel();
        a.lea(r13, __[next]);
        a.mov(rax, cr3);
        a.mov(cr3, rax);
        foreach (AssemblerRegister64 pointer in (ReadOnlySpan<AssemblerRegister64>)[rsi, rdi, r8])
            a.mov(pointer, (long)PagedWindow.Start + (random.Next(_window.Bytes) & ~0xfffL) + (random.Next(3) == 0 ? -16 : random.Next(200) & -16));
        a.mov(ecx, 2);
        a.Label(ref twice);
        for (int i = random.Next(3, 14); i > 0; i--)
            Operate(a, random, wide);
        a.pushfq();
        a.pop(rax);
        a.xor(r12, rax);
        if (random.Next(3) == 0)
        {
            a.dec(ecx);
            a.jnz(twice);
        }
        a.Label(ref next);
        a.add(r12, 1);
    }

    private static void Operate(Assembler a, Random random, bool wide)
    {
        AssemblerRegister64 pointer = random.Next(3) switch { 0 => rsi, 1 => rdi, _ => r8 };
        int place = random.Next(-40, 40), aligned = random.Next(8) == 0 ? place : place & -32;
        switch (random.Next(22))
        {
            case 0: a.mov(edx, __dword_ptr[pointer + place]); break;
            case 1: a.mov(__byte_ptr[pointer + place], bl); break;
            case 2: a.add(__word_ptr[pointer + place], dx); break;
            case 3: a.cmp(rdx, __qword_ptr[pointer + place]); a.adc(rbx, r14); break;
            case 4: a.add(rdx, rbx); a.mov(__qword_ptr[pointer + place], rdx); a.sbb(rbx, rdx); break;
            case 5: a.movaps(xmm1, __xmmword_ptr[pointer + aligned]); break;
            case 6: a.movaps(__xmmword_ptr[pointer + aligned], xmm1); break;
            case 7: a.paddd(xmm2, __xmmword_ptr[pointer + aligned]); break;
            case 8: a.movups(__xmmword_ptr[pointer + place], xmm2); break;
            case 9: a.xchg(__dword_ptr[pointer + place], ebx); break;
            case 10: a.bts(__qword_ptr[pointer + place], rdx); break;
            case 11: a.rol(__dword_ptr[pointer + place], 3); break;
            case 12: a.push(__qword_ptr[pointer + place]); a.pop(rbx); break;
            case 13: a.push(rbx); a.pop(__qword_ptr[pointer + place]); break;
            case 14: a.movsd(); break;
            case 15: a.lodsb(); break;
            case 16: a.scasw(); break;
            case 17: a.inc(__byte_ptr[pointer + place]); a.setc(dl); break;
            case 18: a.@lock.xadd(__qword_ptr[pointer + place], rdx); break;
            case 19 when wide: a.vmovdqu(ymm3, __ymmword_ptr[pointer + place]); a.vpaddq(ymm4, ymm3, ymm4); break;
            case 20 when wide: a.vmovdqa(__ymmword_ptr[pointer + aligned], ymm4); break;
            case 21 when wide: a.vmaskmovps(__ymmword_ptr[pointer + place], ymm3, ymm4); break;
            case 19: a.movbe(rdx, __qword_ptr[pointer + place]); break;
            case 20: a.cmpxchg16b(__xmmword_ptr[pointer + aligned]); a.and(ecx, 1); break;
            default: a.imul(rdx, __qword_ptr[pointer + place]); break;
        }
    }

    private static TestMachine Paged(Random random, Func<Vcpu, IVcpuBackend> backend)
    {
        TestMachine machine = new(64, CpuLevel.V3, memory: 4 << 20, backend: backend);
        machine.State.Cr4 |= Cr4.OSFXSR | Cr4.OSXSAVE;
        machine.State.Xcr0 = 7;
        _window.Map(machine, random, entry => random.Next(16) switch { 0 => 0, 1 => entry & ~2ul, 2 => Nowhere | 3, _ => entry });
        return machine;
    }
}
