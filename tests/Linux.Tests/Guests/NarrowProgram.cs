using System.Buffers.Binary;
using System.Globalization;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Linux.Tests.Guests;

/// <summary>
/// A static 32-bit Linux program: a generator, divisions, rotates, string stores, calls, and its sum in thread-local
/// memory behind GS, at a negative offset as compilers use them. It prints the sum, 16 hexadecimal digits.
/// </summary>
internal static class NarrowProgram
{
    public const string Path = "bin/narrow";

    private const uint Load = 0x0804_8000, Data = 0x0805_8000, Header = 52 + 32, DataBytes = 0x3000;
    /// <summary>The sum's offsets from GS: -8 and -4.</summary>
    private const uint Low = 0xffff_fff8, High = 0xffff_fffc;

    private const uint Buffer = Data, Descriptor = Data + 0x100, Local = Data + 0x800, Rounds = 300_000, Modulus = 1_000_003;

    /// <summary>What the program prints, without the line's end.</summary>
    public static string Expected()
    {
        uint x = 12345;
        ulong sum = 0;
        for (uint i = Rounds; i > 0; i--)
        {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            sum += x % Modulus;
            sum += uint.RotateLeft(x, (int)(i & 31)) >> 24;
        }
        return sum.ToString("x16", CultureInfo.InvariantCulture);
    }

    /// <summary>The ELF file: one segment, of code and zeroed data.</summary>
    public static byte[] Build()
    {
        Assembler assembler = new(32);
        Write(assembler);
        using MemoryStream code = new();
        assembler.Assemble(new StreamCodeWriter(code), Load + Header);
        byte[] file = new byte[Header + code.Length];
        // Elf32_Ehdr and one Elf32_Phdr (System V ABI, chapters 4 and 5): ET_EXEC, EM_386; PT_LOAD, RWX.
        ((ReadOnlySpan<byte>)[0x7f, (byte)'E', (byte)'L', (byte)'F', 1, 1, 1]).CopyTo(file);
        uint[] words = [2 | 3 << 16, 1, Load + Header, 52, 0, 0, 52 | 32 << 16, 1, 0];
        uint[] segment = [1, 0, Load, Load, (uint)file.Length, Data + DataBytes - Load, 7, 0x1000];
        int at = 16;
        foreach (uint word in (uint[])[.. words, .. segment])
        {
            BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(at), word);
            at += sizeof(uint);
        }
        code.ToArray().CopyTo(file, (int)Header);
        return file;
    }

    private static void Write(Assembler a)
    {
        const int SetThreadArea = 243, WriteFile = 4, Exit = 1;
        Label loop = a.CreateLabel(), step = a.CreateLabel(), digit = a.CreateLabel();
        // struct user_desc: entry -1, base, limit in pages, 32-bit and usable.
        a.mov(__dword_ptr[Descriptor], -1);
        a.mov(__dword_ptr[Descriptor + 4], Local);
        a.mov(__dword_ptr[Descriptor + 8], 0xfffff);
        a.mov(__dword_ptr[Descriptor + 12], 0x51);
        a.mov(eax, SetThreadArea);
        a.mov(ebx, Descriptor);
        a.@int(0x80);
        a.mov(eax, __dword_ptr[Descriptor]);
        a.lea(eax, __[eax * 8 + 3]);
        a.mov(gs, ax);

        a.mov(ebx, 12345);
        a.mov(ecx, Rounds);
        a.Label(ref loop);
        a.push(ecx);
        a.call(step);
        a.pop(ecx);
        a.dec(ecx);
        a.jnz(loop);

        // The sum, digit by digit from the last.
        a.mov(edi, Buffer + 15);
        a.mov(ecx, 16);
        a.mov(__byte_ptr[Buffer + 16], '\n');
        a.Label(ref digit);
        a.mov(al, __byte_ptr.gs[Low]);
        a.and(eax, 15);
        a.cmp(al, 10);
        a.sbb(al, 0x69);
        a.das();
        a.or(al, 0x20);
        a.std();
        a.stosb();
        a.cld();
        a.mov(edx, __dword_ptr.gs[High]);
        a.shrd(__dword_ptr.gs[Low], edx, 4);
        a.shr(__dword_ptr.gs[High], 4);
        a.dec(ecx);
        a.jnz(digit);
        a.mov(eax, WriteFile);
        a.mov(ebx, 1);
        a.mov(ecx, Buffer);
        a.mov(edx, 17);
        a.@int(0x80);
        a.mov(eax, Exit);
        a.xor(ebx, ebx);
        a.@int(0x80);

        a.Label(ref step);
        a.push(ebp);
        a.mov(ebp, esp);
        a.mov(eax, ebx);
        a.shl(eax, 13);
        a.xor(ebx, eax);
        a.mov(eax, ebx);
        a.shr(eax, 17);
        a.xor(ebx, eax);
        a.mov(eax, ebx);
        a.shl(eax, 5);
        a.xor(ebx, eax);
        a.mov(eax, ebx);
        a.xor(edx, edx);
        a.mov(esi, Modulus);
        a.div(esi);
        a.add(__dword_ptr.gs[Low], edx);
        a.adc(__dword_ptr.gs[High], 0);
        a.mov(eax, ebx);
        a.mov(ecx, __dword_ptr[ebp + 8]);
        a.rol(eax, cl);
        a.mov(edi, Buffer);
        a.stosd();
        a.movzx(eax, __byte_ptr[Buffer + 3]);
        a.add(__dword_ptr.gs[Low], eax);
        a.adc(__dword_ptr.gs[High], 0);
        a.leave();
        a.ret();
    }
}
