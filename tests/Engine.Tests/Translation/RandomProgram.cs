using Godwit.Engine.Cpu;
using Godwit.Engine.Tests.Interpreter;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Translation;

/// <summary>
/// Random integer and vector code in a loop: registers of all kinds and sizes, memory with every addressing form around one window,
/// also across pages, the stack, calls and branches, and now and then the flags on the stack, undefined ones included.
/// It ends in HLT.
/// </summary>
internal sealed class RandomProgram(int seed)
{
    public const ulong Window = TestMachine.Data;
    public const int WindowBytes = 0x4000;

    private static readonly AssemblerRegister64[] _wide = [rax, rcx, rdx, rbx, rbp, rsi, r8, r9, r10, r11, r12, r13, r15];
    private static readonly AssemblerRegister32[] _half = [eax, ecx, edx, ebx, ebp, esi, r8d, r9d, r10d, r11d, r12d, r13d, r15d];
    private static readonly AssemblerRegister16[] _word = [ax, cx, dx, bx, bp, si, r8w, r9w, r10w, r11w, r12w, r13w, r15w];
    private static readonly AssemblerRegister8[] _byte = [al, cl, dl, bl, bpl, sil, r8b, r9b, r10b, r11b, r12b, r13b, r15b, ah, bh, ch, dh];

    private readonly Random _random = new(seed);

    /// <summary>Vector instructions among a hundred: none to most.</summary>
    private readonly int _vectorShare = seed % 4 * 20;
    private readonly RandomVectors _vectors = new(new Random(~seed), [.. _wide.Select(register => register.Value)], WindowBytes / 2);

    /// <summary>Writes the program: <paramref name="pieces"/> pieces of code, gone through <paramref name="rounds"/> times.</summary>
    public void Write(Assembler a, int pieces, uint rounds)
    {
        Label top = a.CreateLabel();
        foreach (AssemblerRegister64 register in _wide)
            a.mov(register, _random.NextInt64());
        // RDI is the window's middle, R14 counts the rounds: nothing else writes them.
        a.mov(rdi, (long)Window + WindowBytes / 2);
        a.mov(r14d, rounds);
        a.Label(ref top);
        Label[] functions = [a.CreateLabel(), a.CreateLabel(), a.CreateLabel()];
        Label over = a.CreateLabel();
        a.jmp(over);
        for (int i = 0; i < functions.Length; i++)
        {
            a.Label(ref functions[i]);
            Straight(a, _random.Next(1, 6));
            a.ret();
        }
        a.Label(ref over);
        for (int i = 0; i < pieces; i++)
        {
            Straight(a, _random.Next(1, 10));
            Label next = a.CreateLabel();
            switch (_random.Next(6))
            {
                case 5 when _random.Next(2) == 0:
                    Turns(a);
                    break;
                case 5:
                    Loop(a);
                    break;
                case 0:
                    Branch(a, next);
                    Straight(a, _random.Next(1, 4));
                    break;
                case 1:
                    a.call(functions[_random.Next(functions.Length)]);
                    break;
                case 2:
                    AssemblerRegister64 target = Wide();
                    a.lea(target, __[functions[_random.Next(functions.Length)]]);
                    a.call(target);
                    break;
                case 3:
                    a.pushfq();
                    a.pop(__qword_ptr[rdi + _random.Next(64) * 8]);
                    break;
            }
            a.Label(ref next);
            // A label needs an instruction of its own.
            a.nop();
        }
        a.dec(r14d);
        a.jnz(top);
        a.pushfq();
        a.hlt();
    }

    /// <summary>A block that branches to itself: it goes through the window in steps, over the ends of pages, and may end at any flags.</summary>
    private void Loop(Assembler a)
    {
        Label again = a.CreateLabel();
        AssemblerRegister64 pointer = _random.Next(2) == 0 ? rsi : r8;
        int step = _random.Next(30, 200);
        a.mov(pointer, (long)Window + 0xc00 + _random.Next(0x300));
        a.Label(ref again);
        int count = _random.Next(1, 5);
        for (int i = 0; i < count; i++)
        {
            int place = _random.Next(200);
            switch (_random.Next(7))
            {
                case 0: a.mov(eax, __dword_ptr[pointer + place]); break;
                case 1: a.mov(__qword_ptr[pointer + place], rbx); break;
                case 2: a.add(__word_ptr[pointer + place], dx); break;
                case 3: a.movzx(ecx, __byte_ptr[pointer + place]); a.xor(rbx, rcx); break;
                case 4: a.cmp(eax, ebx); a.cmovb(r12, r9); break;
                case 5: a.mov(__byte_ptr[rdi + place], al); break;
                case 6: a.adc(rbx, __qword_ptr[rdi + place]); break;
            }
        }
        switch (_random.Next(4))
        {
            case 0:
                a.add(pointer, step);
                a.cmp(pointer, (int)Window + 0x1400);
                a.jb(again);
                break;
            case 1:
                a.lea(pointer, __[pointer + step]);
                a.test(pointer, 0x2000);
                a.jz(again);
                break;
            case 2:
                a.mov(edx, pointer == rsi ? esi : r8d);
                a.add(pointer, step);
                a.sub(edx, (int)Window + 0x1400);
                a.js(again);
                break;
            case 3:
                a.add(pointer, step);
                a.mov(rbp, pointer);
                a.and(rbp, 0x1c00);
                a.xor(rbp, 0x1c00);
                a.jnz(again);
                break;
        }
    }

    private void Straight(Assembler a, int count)
    {
        for (int i = 0; i < count; i++)
            One(a);
    }

    private void One(Assembler a)
    {
        if (_random.Next(100) < _vectorShare)
        {
            _vectors.Write(a);
            return;
        }
        switch (_random.Next(26))
        {
            case 24 or 25: Walk(a); break;
            case 0: a.mov(Wide(), Wide()); break;
            case 1: a.mov(Half(), _random.Next()); break;
            case 2: a.add(Wide(), Wide()); break;
            case 3: a.sub(Half(), __dword_ptr[Memory(a)]); break;
            case 4: a.adc(__qword_ptr[Memory(a)], Wide()); break;
            case 5: a.sbb(Word(), Word()); break;
            case 6: Logic(a); break;
            case 7: Shift(a); break;
            case 8: a.lea(Wide(), __[Wide() + Wide() * 4 + _random.Next(-1000, 1000)]); break;
            case 9: a.imul(Wide(), Wide()); break;
            case 10: a.imul(Half(), __dword_ptr[Memory(a)], _random.Next(-100, 100)); break;
            case 11: a.mul(Half()); break;
            case 12: a.cmp(Half(), Half()); a.cmovl(Wide(), Wide()); break;
            case 13: a.setbe(Byte()); break;
            case 14: a.push(Wide()); Straight(a, 1); a.pop(Wide()); break;
            case 15: a.xchg(__dword_ptr[Memory(a)], Half()); break;
            case 16: Locked(a); break;
            case 17: a.xadd(Word(), Word()); break;
            case 18: a.bts(Wide(), (byte)_random.Next(64)); break;
            case 19: a.movzx(Half(), __byte_ptr[Memory(a)]); break;
            case 20: a.movsx(Wide(), __word_ptr[Memory(a)]); break;
            case 21: a.mov(__qword_ptr[Memory(a)], Wide()); break;
            case 22: a.inc(Half()); break;
            default: Rare(a); break;
        }
    }

    private void Locked(Assembler a)
    {
        // Before the prefix: an address may take an instruction of its own.
        AssemblerMemoryOperand memory = Memory(a);
        if (_random.Next(2) == 0)
            a.@lock.xadd(__qword_ptr[memory], Wide());
        else
            a.@lock.cmpxchg(__dword_ptr[memory], Half());
    }

    private void Logic(Assembler a)
    {
        switch (_random.Next(5))
        {
            case 0: a.and(Wide(), Wide()); break;
            case 1: a.or(__byte_ptr[Memory(a)], Low()); break;
            case 2: a.xor(Half(), _random.Next()); break;
            case 3: a.test(Wide(), Wide()); break;
            case 4: a.test(__dword_ptr[Memory(a)], _random.Next()); break;
        }
    }

    private void Shift(Assembler a)
    {
        byte count = (byte)_random.Next(64);
        switch (_random.Next(8))
        {
            case 0: a.shl(Wide(), count); break;
            case 1: a.shr(Half(), count); break;
            case 2: a.sar(Word(), count); break;
            case 3: a.shl(Byte(), 1); break;
            case 4: a.shr(__qword_ptr[Memory(a)], count); break;
            case 5: a.rol(Wide(), count); break;
            case 6: a.shl(Half(), cl); break;
            case 7: a.shrd(Wide(), Wide(), count); break;
        }
    }

    /// <summary>What the interpreter does in the middle of a block.</summary>
    private void Rare(Assembler a)
    {
        switch (_random.Next(6))
        {
            case 0: a.stc(); break;
            case 1: a.cmc(); break;
            case 2: a.bsf(Wide(), Wide()); break;
            case 3: a.cdqe(); break;
            case 4: a.neg(__word_ptr[Memory(a)]); break;
            case 5: a.not(Byte()); break;
        }
    }

    private void Branch(Assembler a, Label target)
    {
        switch (_random.Next(8))
        {
            case 0: a.jz(target); break;
            case 1: a.jc(target); break;
            case 2: a.jo(target); break;
            case 3: a.js(target); break;
            case 4: a.jp(target); break;
            case 5: a.jle(target); break;
            case 6: a.ja(target); break;
            case 7: a.jge(target); break;
        }
    }

    /// <summary>A block that branches to itself: a pointer moves by constants from turn to turn, flags go over from one to the next.</summary>
    private void Turns(Assembler a)
    {
        Label top = a.CreateLabel();
        a.lea(rsi, __[rdi + (_random.Next(2) == 0 ? _random.Next(-900, 100) : _random.Next(-WindowBytes / 2 + 1600, WindowBytes / 2 - 1600))]);
        a.mov(ecx, _random.Next(1, 40));
        a.Label(ref top);
        for (int i = _random.Next(1, 8); i > 0; i--)
        {
            int displacement = _random.Next(-60, 60);
            switch (_random.Next(9))
            {
                case 0: a.add(__dword_ptr[rsi + displacement], eax); break;
                case 1: a.movups(xmm5, __xmmword_ptr[rsi + displacement]); break;
                case 2: a.movdqu(__xmmword_ptr[rsi + displacement], xmm6); break;
                case 3: a.paddd(xmm6, xmm5); break;
                case 4: a.adc(edx, __dword_ptr[rsi + displacement]); break;
                case 5: a.xor(ebx, edx); break;
                case 6: a.movsd(xmm6, __qword_ptr[rsi + displacement]); break;
                case 7: a.sbb(r10, rbx); break;
                default: a.add(rsi, _random.Next(-8, 32)); break;
            }
        }
        if (_random.Next(2) == 0)
        {
            a.dec(ecx);
            a.jnz(top);
        }
        else
        {
            a.sub(ecx, 3);
            a.jg(top);
        }
    }

    /// <summary>A pointer that moves by constants between accesses near it, often over a page's end.</summary>
    private void Walk(Assembler a)
    {
        AssemblerRegister64 pointer = Wide(), copy = Wide();
        a.lea(pointer, __[rdi + (_random.Next(2) == 0 ? _random.Next(-300, 300) : _random.Next(-WindowBytes / 2 + 600, WindowBytes / 2 - 600))]);
        for (int i = _random.Next(2, 7); i > 0; i--)
        {
            int displacement = _random.Next(-60, 60);
            switch (_random.Next(10))
            {
                case 0: a.add(pointer, _random.Next(-40, 40)); break;
                case 1: a.sub(pointer, _random.Next(-40, 40)); break;
                case 2: a.inc(pointer); break;
                case 3:
                    a.mov(copy, pointer);
                    pointer = copy;
                    break;
                case 4: a.mov(__qword_ptr[pointer + displacement], Wide()); break;
                case 5: a.add(__dword_ptr[pointer + displacement], Half()); break;
                case 6: a.movdqu(xmm3, __xmmword_ptr[pointer + displacement]); break;
                case 7: a.movups(__xmmword_ptr[pointer + displacement], xmm4); break;
                case 8: a.cmp(Low(), __byte_ptr[pointer + displacement]); break;
                default: a.lea(pointer, __[pointer + _random.Next(-40, 40)]); break;
            }
        }
    }

    /// <summary>An address in the window: constant, or with an index that is cut to fit.</summary>
    private AssemblerMemoryOperand Memory(Assembler a)
    {
        switch (_random.Next(5))
        {
            case 4:
                // Near others of the same kind, and near a page's end.
                return __[rdi + _random.Next(-80, 80)];
            case 0:
                return __[rdi + _random.Next(-WindowBytes / 2, WindowBytes / 2 - 16)];
            case 1:
                return __[(long)Window + _random.Next(WindowBytes - 16)];
            default:
                AssemblerRegister64 index = Wide();
                a.movzx(new AssemblerRegister32(Register.EAX + (index.Value - Register.RAX)), new AssemblerRegister8(LowOf(index)));
                return _random.Next(2) == 0 ? __[rdi + index * 4 + _random.Next(-200, 200)] : __[index + (int)Window + 0xf80];
        }
    }

    private static Register LowOf(AssemblerRegister64 register)
    {
        int number = register.Value - Register.RAX;
        return number < 4 ? Register.AL + number : Register.SPL + (number - 4);
    }

    private AssemblerRegister64 Wide() => _wide[_random.Next(_wide.Length)];

    private AssemblerRegister32 Half() => _half[_random.Next(_half.Length)];

    private AssemblerRegister16 Word() => _word[_random.Next(_word.Length)];

    private AssemblerRegister8 Byte() => _byte[_random.Next(_byte.Length)];

    private AssemblerRegister8 Low() => _byte[_random.Next(13)];
}
