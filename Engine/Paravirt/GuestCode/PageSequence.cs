using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Paravirt.GuestCode;

/// <summary>
/// The known content of a self-checking page: word 0 is its generation, word i (1 to 511) is seed(page, generation) +
/// i * <see cref="Step"/>. A stale, torn, zeroed or swapped page differs in every word.
/// </summary>
public static class PageSequence
{
    /// <summary>8-byte words in a page.</summary>
    public const int Words = 512;

    /// <summary>Difference between neighbouring words: 2^64 divided by the golden ratio, odd.</summary>
    public const ulong Step = 0x9e37_79b9_7f4a_7c15;

    // Multipliers of the finalizer of SplitMix64 and of Fibonacci hashing; any odd numbers with mixed bits do.
    private const ulong PageFactor = 0xbf58_476d_1ce4_e5b9;
    private const ulong GenerationFactor = 0x94d0_49bb_1331_11eb;
    private const int Unroll = 8;

    /// <summary>What word <paramref name="index"/> of a page holds.</summary>
    public static ulong Word(ulong page, ulong generation, int index) =>
        index == 0 ? generation : unchecked(Seed(page, generation) + (ulong)index * Step);

    private static ulong Seed(ulong page, ulong generation)
    {
        ulong seed = unchecked(page * PageFactor + generation * GenerationFactor);
        seed ^= seed >> 31;
        return unchecked(seed * PageFactor);
    }

    /// <summary>Emits a routine: RDI the page's address, RSI its number, RDX its generation. Fills it. Changes RAX RCX RDI R8.</summary>
    internal static void EmitFill(Assembler c)
    {
        Label loop = c.CreateLabel();
        EmitSeed(c);
        c.mov(ecx, Words / Unroll);
        c.Label(ref loop);
        for (int i = 0; i < Unroll; i++)
        {
            c.mov(__[rdi + i * 8], rax);
            c.add(rax, r8);
        }
        c.add(rdi, Unroll * 8);
        c.dec(ecx);
        c.jne(loop);
        c.mov(__[rdi - Words * 8], rdx);
        c.ret();
    }

    /// <summary>
    /// Emits a routine: RDI the page's address, RSI its number, RDX the generation it should have. Returns in R9 how many
    /// words are wrong, and of the first of them R10 the index, R11 what it holds, RBX what it should. Changes RAX RCX RDI R8 R12.
    /// </summary>
    internal static void EmitCheck(Assembler c)
    {
        Label first = c.CreateLabel(), loop = c.CreateLabel(), count = c.CreateLabel();
        c.mov(r12, rdi);
        c.xor(r9d, r9d);
        EmitSeed(c);
        c.add(rax, r8);
        c.cmp(__[rdi], rdx);
        c.jne(count);
        c.mov(ecx, Words / Unroll);
        c.jmp(first);
        c.Label(ref loop);
        for (int i = 0; i < Unroll; i++)
        {
            if (i == 1)
                c.Label(ref first);
            c.cmp(__[rdi + i * 8], rax);
            c.jne(count);
            c.add(rax, r8);
        }
        c.add(rdi, Unroll * 8);
        c.dec(ecx);
        c.jne(loop);
        c.ret();

        // Something is wrong: once more from the start, slowly, counting.
        Label word = c.CreateLabel(), next = c.CreateLabel(), known = c.CreateLabel();
        c.Label(ref count);
        EmitSeed(c);
        c.mov(rdi, rdx);
        c.xor(ecx, ecx);
        c.Label(ref word);
        c.cmp(__[r12 + rcx * 8], rdi);
        c.je(next);
        c.test(r9, r9);
        c.jne(known);
        c.mov(r10, rcx);
        c.mov(r11, __[r12 + rcx * 8]);
        c.mov(rbx, rdi);
        c.Label(ref known);
        c.inc(r9);
        c.Label(ref next);
        c.add(rax, r8);
        c.mov(rdi, rax);
        c.inc(ecx);
        c.cmp(ecx, Words);
        c.jne(word);
        c.ret();
    }

    /// <summary>RAX = seed(RSI, RDX), R8 = step; changes RCX.</summary>
    private static void EmitSeed(Assembler c)
    {
        c.mov(rcx, PageFactor);
        c.mov(rax, rsi);
        c.imul(rax, rcx);
        c.mov(r8, GenerationFactor);
        c.imul(r8, rdx);
        c.add(rax, r8);
        c.mov(r8, rax);
        c.shr(r8, 31);
        c.xor(rax, r8);
        c.imul(rax, rcx);
        c.mov(r8, Step);
    }
}
