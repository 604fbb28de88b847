using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>What POPF may change, and in virtual-8086 mode whether it may run at all.</summary>
internal static unsafe class EFlags
{
    private const ulong Always = Rflags.Arithmetic | Rflags.TF | Rflags.DF | Rflags.NT | Rflags.AC | Rflags.ID;

    /// <summary>PUSHF and POPF need IOPL 3 in virtual-8086 mode (without its extensions).</summary>
    public static bool MayUseStack(VcpuContext* c)
    {
        ulong flags = c->State.Rflags;
        return (flags & Rflags.VM) == 0 || (flags & Rflags.IOPL) == Rflags.IOPL || c->Raise(Cpu.Vector.GP, 0);
    }

    /// <summary>POPF of 2, 4 or 8 bytes (SDM 2B, POPF): IOPL changes at CPL 0 only, IF at CPL up to IOPL; RF is cleared.</summary>
    public static void Pop(VcpuContext* c, ulong value, int size)
    {
        ulong old = c->GetRflags();
        ulong may = Always;
        int cpl = c->State.Cpl;
        bool real = !c->State.ProtectedMode;
        if (real || cpl == 0)
            may |= Rflags.IOPL;
        if (real || cpl <= (int)((old & Rflags.IOPL) >> 12))
            may |= Rflags.IF;
        if (size == 2)
            may &= 0xffff;
        else
            old &= ~Rflags.RF;
        c->SetRflags((old & ~may) | (value & may));
    }
}

/// <summary>CLC, STC, CMC, CLD, STD, LAHF, SAHF, SALC, and what does nothing: NOP, PAUSE, hints.</summary>
internal static unsafe class FlagMoves
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Clc, (in Instruction instruction, ref Op op) => new Handler(&Clc)),
        new(Mnemonic.Stc, (in Instruction instruction, ref Op op) => new Handler(&Stc)),
        new(Mnemonic.Cmc, (in Instruction instruction, ref Op op) => new Handler(&Cmc)),
        new(Mnemonic.Cld, (in Instruction instruction, ref Op op) => new Handler(&Cld)),
        new(Mnemonic.Std, (in Instruction instruction, ref Op op) => new Handler(&Std)),
        new(Mnemonic.Lahf, (in Instruction instruction, ref Op op) => new Handler(&Lahf)),
        new(Mnemonic.Sahf, (in Instruction instruction, ref Op op) => new Handler(&Sahf)),
        new(Mnemonic.Salc, (in Instruction instruction, ref Op op) => new Handler(&Salc)),
        new(Mnemonic.Nop, SelectReserved),
        new(Mnemonic.Prefetchit0, SelectReserved),
        new(Mnemonic.Prefetchit1, SelectReserved),
        new(Mnemonic.Prefetchwt1, SelectReserved),
        new(Mnemonic.Pause, (in Instruction instruction, ref Op op) => new Handler(&Nothing)),
        new(Mnemonic.Reservednop, SelectReserved),
        new(Mnemonic.Endbr32, (in Instruction instruction, ref Op op) => new Handler(&Nothing)),
        new(Mnemonic.Endbr64, (in Instruction instruction, ref Op op) => new Handler(&Nothing)),
    ];

    /// <summary>0F 0D is PREFETCH and wants memory (AMD APM 3, PREFETCHlevel); the other hints take what comes.</summary>
    private static Handler SelectReserved(in Instruction instruction, ref Op op) =>
        instruction.OpCode.OpCode == 0x0d && instruction.OpCode.Table == OpCodeTableKind.T0F && instruction.Op0Kind == OpKind.Register
            ? default
            : new Handler(&Nothing);

    private static Op* Clc(VcpuContext* c, Op* op)
    {
        SetCarry(c, 0);
        return op + 1;
    }

    private static Op* Stc(VcpuContext* c, Op* op)
    {
        SetCarry(c, 1);
        return op + 1;
    }

    private static Op* Cmc(VcpuContext* c, Op* op)
    {
        SetCarry(c, LazyFlags.Carry(c) ^ 1);
        return op + 1;
    }

    private static void SetCarry(VcpuContext* c, uint carry)
    {
        // OF is CF xor the bit below it: both turn together.
        uint change = (c->FlagAux >> 31) ^ carry;
        c->FlagAux ^= change << 31 | change << 30;
    }

    private static Op* Cld(VcpuContext* c, Op* op)
    {
        c->State.Rflags &= ~Rflags.DF;
        return op + 1;
    }

    private static Op* Std(VcpuContext* c, Op* op)
    {
        c->State.Rflags |= Rflags.DF;
        return op + 1;
    }

    private static Op* Lahf(VcpuContext* c, Op* op)
    {
        *((byte*)&c->State.Gpr[Gpr.RAX] + 1) = (byte)c->GetRflags();
        return op + 1;
    }

    private static Op* Sahf(VcpuContext* c, Op* op)
    {
        byte ah = *((byte*)&c->State.Gpr[Gpr.RAX] + 1);
        c->SetArithmetic((c->GetRflags() & Rflags.OF) | (ah & (Rflags.Arithmetic & ~Rflags.OF)));
        return op + 1;
    }

    private static Op* Salc(VcpuContext* c, Op* op)
    {
        *(byte*)&c->State.Gpr[Gpr.RAX] = (byte)(0 - LazyFlags.Carry(c));
        return op + 1;
    }

    private static Op* Nothing(VcpuContext* c, Op* op) => op + 1;
}
