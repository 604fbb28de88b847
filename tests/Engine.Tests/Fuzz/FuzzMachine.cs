using Godwit.Engine.Cpu;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Tests.Interpreter;
using Godwit.Engine.Tests.Translation;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Engine.Tests.Fuzz;

/// <summary>
/// A machine for random programs. Its handlers note each fault with its error code and address, and go on behind the
/// instruction, whose length they find in a table. In 64-bit mode the window and what follows it lie in small pages,
/// some of which are missing or read-only, and whose table the program may change.
/// </summary>
internal static unsafe class FuzzMachine
{
    /// <summary>Where the window's middle is: (R)DI.</summary>
    public const ulong Middle = TestMachine.Data + RandomIntegers.Reach;

    /// <summary>A function that programs overwrite: so many 5-byte MOVs of constants, and RET.</summary>
    public const ulong Patched = TestMachine.Code + 0x3_0000;

    public const int PatchedMoves = 16;

    /// <summary>The page table of the window.</summary>
    public const ulong PageTable = 0x7000;

    /// <summary>The page of the window's table that is the patched function, by another address.</summary>
    public const int AliasPage = 14;

    /// <summary>Where the program finds the address that it runs at next, in 64-bit mode; 0: nowhere.</summary>
    public const ulong Next = 0xa000;

    /// <summary>Pages for the tables of addresses at which the program lies beside its own.</summary>
    private const ulong FreeTables = 0xb000;

    private const ulong Handlers = TestMachine.Code + 0x4_0000, Lengths = 0x40_0000, Log = 0x50_0000;

    public static TestMachine Make(int bitness, Func<Vcpu, IVcpuBackend> backend, byte[] window, byte[] program, ReadOnlySpan<ulong> aliases)
    {
        TestMachine machine = new(bitness, CpuLevel.V3, memory: 8 << 20, backend: backend);
        machine.State.Cr4 |= Cr4.OSFXSR;
        // Segments with bases; in 32-bit code one of them ends in the window.
        machine.State.Gs.Base = 0x40;
        machine.State.Fs.Base = 0x3c0;
        if (bitness == 32)
            machine.State.Fs.Limit = (uint)Middle + 0x800;
        machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Data), window);
        machine.Memory.TryWrite(new GuestPhysicalAddress(TestMachine.Code), program);
        byte[] patched = machine.Load(a =>
        {
            AssemblerRegister32[] registers = [eax, ecx, edx, ebx];
            for (int i = 0; i < PatchedMoves; i++)
                a.mov(registers[i % 4], i * 0x0101);
            a.ret();
        }, Patched);
        WriteLengths(machine, program, TestMachine.Code);
        WriteLengths(machine, patched, Patched);
        bool wide = bitness == 64;
        for (int vector = 0; vector < 32; vector++)
        {
            ulong handler = Handlers + (ulong)vector * 0x80;
            int number = vector;
            machine.Load(a => WriteHandler(a, number, wide), handler);
            if (wide)
                machine.SetHandler(vector, handler);
            else
                machine.Write(TestMachine.Idt + (ulong)vector * 8, (handler & 0xffff) | (ulong)TestMachine.Kernel32 << 16 | 0x8e00ul << 32 | (handler >> 16) << 48);
        }
        if (!wide)
            return machine;
        MapWindow(machine);
        ulong free = FreeTables;
        for (int i = 0; i < aliases.Length; i++)
        {
            Aliases.Map(machine, TestMachine.Tables, ref free, aliases[i]);
            machine.Write(Next + (ulong)i * 8, aliases[i] + TestMachine.Code);
        }
        return machine;
    }

    private static void WriteLengths(TestMachine machine, byte[] code, ulong at)
    {
        byte[] lengths = new byte[code.Length];
        Iced.Intel.Decoder decoder = Iced.Intel.Decoder.Create(machine.Bitness, code, at, DecoderOptions.AMD);
        while (decoder.IP < at + (ulong)code.Length)
        {
            int offset = (int)(decoder.IP - at);
            lengths[offset] = (byte)decoder.Decode().Length;
        }
        machine.Memory.TryWrite(new GuestPhysicalAddress(Lengths + (at - TestMachine.Code)), lengths);
    }

    private static void WriteHandler(Assembler a, int vector, bool wide)
    {
        const int Table = (int)(Lengths - TestMachine.Code);
        bool hasCode = vector is 8 or 10 or 11 or 12 or 13 or 14 or 17;
        if (!hasCode)
            a.push(0);
        if (!wide)
        {
            a.push(eax);
            a.push(ecx);
            a.mov(eax, cr2);
            a.add(__dword_ptr[Log], eax);
            a.mov(eax, __dword_ptr[esp + 8]);
            a.add(__dword_ptr[Log + 8], eax);
            a.inc(__dword_ptr[Log + 16 + (ulong)vector * 8]);
            a.mov(ecx, __dword_ptr[esp + 12]);
            a.movzx(eax, __byte_ptr[ecx + Table]);
            a.add(__dword_ptr[esp + 12], eax);
            a.pop(ecx);
            a.pop(eax);
            a.add(esp, 4);
            a.iretd();
            return;
        }
        a.push(rax);
        a.push(rcx);
        a.mov(rax, cr2);
        a.add(__qword_ptr[Log], rax);
        a.mov(rax, __qword_ptr[rsp + 16]);
        a.add(__qword_ptr[Log + 8], rax);
        a.inc(__qword_ptr[Log + 16 + (ulong)vector * 8]);
        a.mov(rcx, __qword_ptr[rsp + 24]);
        // At any of its addresses.
        a.and(ecx, (int)Aliases.Bytes - 1);
        a.movzx(eax, __byte_ptr[rcx + Table]);
        a.add(__qword_ptr[rsp + 24], rax);
        a.pop(rcx);
        a.pop(rax);
        a.add(rsp, 8);
        a.iretq();
    }

    /// <summary>The 2 MiB of the window in pages of 4 KiB: the first four as they are, of the next ten some missing or read-only, then the alias, all others as they are.</summary>
    private static void MapWindow(TestMachine machine)
    {
        for (ulong i = 0; i < 512; i++)
        {
            ulong flags = i is >= 4 and < 14 ? (i % 3) switch { 0 => 0x6u, 1 => 0x5u, _ => 0x7u } : 0x7;
            ulong frame = i == AliasPage ? Patched & ~0xffful : TestMachine.Data + i * 0x1000;
            machine.Write(PageTable + i * 8, frame | flags);
        }
        machine.Write(TestMachine.Tables + 0x2000 + (TestMachine.Data >> 21) * 8, PageTable | 7);
    }
}
