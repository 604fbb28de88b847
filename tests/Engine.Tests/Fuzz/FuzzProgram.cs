using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Tests.Translation;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Fuzz;

/// <summary>
/// A random program for a <see cref="FuzzMachine"/>: functions, branches, calls, integer and vector instructions with
/// faults among them, stores into code that runs, and, in 64-bit mode, changes of the page table. It ends in HLT.
/// </summary>
internal sealed class FuzzProgram
{
    /// <summary>Where the rounds are counted.</summary>
    private const ulong Rounds = TestMachine.Data + 0x1f_0000;

    /// <summary>How often it has run.</summary>
    private const ulong Runs = Rounds + 8;

    private readonly Random _random;
    private readonly bool _wide;
    private readonly RandomIntegers _integers;
    private readonly RandomVectors? _vectors;

    /// <param name="seed">All that is random.</param>
    /// <param name="bitness">64 or 32.</param>
    /// <param name="allowed">Whether the machine has a form.</param>
    public FuzzProgram(int seed, int bitness, Func<Code, bool> allowed)
    {
        _random = new Random(seed);
        _wide = bitness == 64;
        _integers = new RandomIntegers(_random, bitness, allowed, faults: _random.Next(3) * 10);
        if (_wide && _random.Next(3) == 0)
            _vectors = new RandomVectors(_random, [Register.RAX, Register.RCX, Register.RDX, Register.RBX, Register.R8, Register.R12], RandomIntegers.Reach);
        Window = new byte[0x1_0000];
        _random.NextBytes(Window);
        if (_wide)
            Addresses = _random.GetItems([.. Aliases.Bases], _random.Next(3));
    }

    /// <summary>What the window holds at first.</summary>
    public byte[] Window { get; }

    /// <summary>What is added to its addresses when it runs once more, and again.</summary>
    public ulong[] Addresses { get; } = [];

    public byte[] Assemble()
    {
        Assembler a = new(_wide ? 64 : 32);
        Write(a, pieces: _random.Next(20, 60), rounds: _random.Next(20, 120));
        using MemoryStream stream = new();
        a.Assemble(new StreamCodeWriter(stream), TestMachine.Code);
        return stream.ToArray();
    }

    private void Write(Assembler a, int pieces, int rounds)
    {
        for (int number = 0; number < (_wide ? 16 : 8); number++)
        {
            if (number is 4 or 7 or 14)
                continue;
            a.AddInstruction(_wide
                ? Instruction.Create(Code.Mov_r64_imm64, Register.RAX + number, _random.NextInt64())
                : Instruction.Create(Code.Mov_r32_imm32, Register.EAX + number, (uint)_random.NextInt64()));
        }
        if (_wide)
            a.mov(rdi, (long)FuzzMachine.Middle);
        else
            a.mov(edi, (uint)FuzzMachine.Middle);
        a.mov(__dword_ptr[Rounds], rounds);
        Label top = a.CreateLabel(), over = a.CreateLabel();
        Label[] functions = [a.CreateLabel(), a.CreateLabel(), a.CreateLabel()];
        a.Label(ref top);
        a.jmp(over);
        foreach (ref Label function in functions.AsSpan())
        {
            a.Label(ref function);
            Straight(a, _random.Next(1, 8));
            a.ret();
        }
        a.Label(ref over);
        for (int i = 0; i < pieces; i++)
        {
            Straight(a, _random.Next(1, 10));
            Label next = a.CreateLabel();
            switch (_random.Next(8))
            {
                case 0 or 1:
                    Branch(a, next);
                    Straight(a, _random.Next(1, 4));
                    break;
                case 2:
                    a.call(functions[_random.Next(functions.Length)]);
                    break;
                case 3:
                    Indirect(a, functions[_random.Next(functions.Length)]);
                    break;
                case 4:
                    PushFlags(a);
                    break;
                case 5:
                    Patch(a);
                    break;
                case 6:
                    a.call(FuzzMachine.Patched);
                    break;
                default:
                    if (_wide && _random.Next(3) == 0)
                        Remap(a);
                    break;
            }
            a.Label(ref next);
            // A label needs an instruction of its own.
            a.nop();
        }
        a.dec(__dword_ptr[Rounds]);
        a.jnz(top);
        PushFlags(a);
        if (_wide)
        {
            // Once more from the start, at the next of its addresses.
            Label end = a.CreateLabel();
            a.mov(eax, __dword_ptr[Runs]);
            a.inc(__dword_ptr[Runs]);
            a.mov(rax, __qword_ptr[rax * 8 + (long)FuzzMachine.Next]);
            a.test(rax, rax);
            a.jz(end);
            a.jmp(rax);
            a.Label(ref end);
        }
        a.hlt();
    }

    private void Straight(Assembler a, int count)
    {
        for (int i = 0; i < count; i++)
        {
            if (_vectors is not null && _random.Next(3) == 0)
                _vectors.Write(a);
            else
                _integers.Write(a);
        }
    }

    private void Branch(Assembler a, Label target)
    {
        switch (_random.Next(18))
        {
            case 0: a.jo(target); break;
            case 1: a.jno(target); break;
            case 2: a.jb(target); break;
            case 3: a.jae(target); break;
            case 4: a.je(target); break;
            case 5: a.jne(target); break;
            case 6: a.jbe(target); break;
            case 7: a.ja(target); break;
            case 8: a.js(target); break;
            case 9: a.jns(target); break;
            case 10: a.jp(target); break;
            case 11: a.jnp(target); break;
            case 12: a.jl(target); break;
            case 13: a.jge(target); break;
            case 14: a.jle(target); break;
            case 15: a.jg(target); break;
            default:
                // LOOP reaches 127 bytes: over a jump that goes all the way.
                Label away = a.CreateLabel(), on = a.CreateLabel();
                if (_random.Next(2) == 0)
                    a.loop(away);
                else
                    a.loopne(away);
                a.jmp(on);
                a.Label(ref away);
                a.jmp(target);
                a.Label(ref on);
                a.nop();
                break;
        }
    }

    private void Indirect(Assembler a, Label function)
    {
        if (_wide)
        {
            a.lea(rbp, __[function]);
            a.call(rbp);
            return;
        }
        // The address of a label without RIP: by a call that is not returned from.
        Label here = a.CreateLabel(), there = a.CreateLabel();
        a.call(here);
        a.jmp(there);
        a.Label(ref here);
        a.pop(ebx);
        a.push(ebx);
        a.jmp(function);
        a.Label(ref there);
        a.nop();
    }

    private void PushFlags(Assembler a)
    {
        int at = _random.Next(64) * 8;
        if (_wide)
        {
            a.pushfq();
            a.pop(__qword_ptr[rdi + at]);
        }
        else
        {
            a.pushfd();
            a.pop(__dword_ptr[edi + at]);
        }
    }

    /// <summary>A store into the function that is called now and then: into a constant, or behind the code; by its address or by another.</summary>
    private void Patch(Assembler a)
    {
        int move = _random.Next(FuzzMachine.PatchedMoves);
        ulong offset = _random.Next(4) == 0 ? (ulong)_random.Next(0x100, 0x400) : (ulong)(move * 5 + 1);
        ulong at = _wide && _random.Next(2) == 0
            ? TestMachine.Data + FuzzMachine.AliasPage * 0x1000 + (FuzzMachine.Patched & 0xfff) + offset
            : FuzzMachine.Patched + offset;
        if (_random.Next(2) == 0)
            a.mov(__dword_ptr[at], ecx);
        else
            a.mov(__byte_ptr[at], dl);
    }

    /// <summary>A page of the window appears, goes, becomes read-only, or another; and the TLB is told.</summary>
    private void Remap(Assembler a)
    {
        int page = _random.Next(4, 14);
        int change = _random.Next(4) switch
        {
            0 => 1,
            1 => 2,
            2 => 3,
            _ => 0x1000,
        };
        a.xor(__dword_ptr[FuzzMachine.PageTable + (ulong)page * 8], change);
        if (_random.Next(3) == 0)
        {
            a.mov(rax, cr3);
            a.mov(cr3, rax);
        }
        else
            a.invlpg(__byte_ptr[TestMachine.Data + (ulong)page * 0x1000]);
    }
}
