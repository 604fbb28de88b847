using Godwit.Engine.Paravirt.Workload;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Godwit.Linux.Tests.Guests;

/// <summary>
/// A static program that keeps values of its own in all YMM registers while the kernel switches between it and others: it
/// yields, spins, and compares what it finds with what it had. Its argument's first letter makes the values.
/// </summary>
internal static class YmmProgram
{
    /// <summary>Its exit status where a register has changed.</summary>
    public const int Changed = 3;

    private const int Rounds = 3000, Spins = 400, VectorBytes = 512;
    private const int ExitGroup = 231, SchedYield = 24;

    public static byte[] Build()
    {
        Assembler a = new(64);
        Label round = a.CreateLabel(), spin = a.CreateLabel(), end = a.CreateLabel();
        // argv[1].
        a.mov(rax, __[rsp + 16]);
        a.vpbroadcastb(ymm0, __byte_ptr[rax]);
        for (int i = 1; i < 16; i++)
            a.AddInstruction(Instruction.Create(Code.VEX_Vpaddb_ymm_ymm_ymmm256, Register.YMM0 + i, Register.YMM0 + (i - 1), Register.YMM0));
        Store(a, StaticElf.DataAddress);
        a.mov(r12d, Rounds);
        a.Label(ref round);
        a.mov(eax, SchedYield);
        a.syscall();
        a.mov(ecx, Spins);
        a.Label(ref spin);
        a.dec(ecx);
        a.jnz(spin);
        Store(a, StaticElf.DataAddress + VectorBytes);
        a.mov(rsi, StaticElf.DataAddress);
        a.lea(rdi, __[rsi + VectorBytes]);
        a.mov(ecx, VectorBytes / 8);
        a.cld();
        a.repe.cmpsq();
        a.mov(edi, Changed);
        a.jne(end);
        a.dec(r12d);
        a.jnz(round);
        a.xor(edi, edi);
        a.Label(ref end);
        a.mov(eax, ExitGroup);
        a.syscall();
        using MemoryStream code = new();
        a.Assemble(new StreamCodeWriter(code), StaticElf.LoadAddress + StaticElf.HeaderBytes);
        return StaticElf.Write(code.ToArray(), 2 * VectorBytes);
    }

    private static void Store(Assembler a, ulong address)
    {
        a.mov(rdx, address);
        for (int i = 0; i < 16; i++)
            a.AddInstruction(Instruction.Create(Code.VEX_Vmovdqu_ymmm256_ymm, new MemoryOperand(Register.RDX, 32 * i, 8), Register.YMM0 + i));
    }
}
