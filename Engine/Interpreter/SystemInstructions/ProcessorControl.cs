using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>HLT, the interrupt flag, EFLAGS.AC under SMAP, and the cache instructions.</summary>
internal static unsafe class ProcessorControl
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Hlt, (in Instruction i, ref Op op) => new(&Halt)) { EndsBlock = true },
        new(Mnemonic.Cli, (in Instruction i, ref Op op) => new(&ClearInterruptFlag)),
        new(Mnemonic.Sti, (in Instruction i, ref Op op) => new(&SetInterruptFlag)) { EndsBlock = true },
        new(Mnemonic.Clac, (in Instruction i, ref Op op) => new(&ClearAlignmentCheck)) { EndsBlock = true },
        new(Mnemonic.Stac, (in Instruction i, ref Op op) => new(&SetAlignmentCheck)) { EndsBlock = true },
        new(Mnemonic.Wbinvd, (in Instruction i, ref Op op) => new(&WriteBack)),
        new(Mnemonic.Wbnoinvd, (in Instruction i, ref Op op) => new(&WriteBack)),
        new(Mnemonic.Invd, (in Instruction i, ref Op op) => new(&WriteBack)),
        new(Mnemonic.Clflush, (in Instruction i, ref Op op) => new(&FlushLine)),
        new(Mnemonic.Clflushopt, (in Instruction i, ref Op op) => new(&FlushLine)),
        new(Mnemonic.Clwb, (in Instruction i, ref Op op) => new(&FlushLine)),
    ];

    private static Op* Halt(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c))
            return null;
        c->State.Halted = true;
        return Plumbing.Leave(c, op);
    }

    private static bool MayChangeInterruptFlag(VcpuContext* c)
    {
        ref CpuState state = ref c->State;
        return state.Cpl <= (int)((state.Rflags >> 12) & 3) || c->Raise(Vector.GP, 0);
    }

    private static Op* ClearInterruptFlag(VcpuContext* c, Op* op)
    {
        if (!MayChangeInterruptFlag(c))
            return null;
        c->State.Rflags &= ~Rflags.IF;
        return op + 1;
    }

    private static Op* SetInterruptFlag(VcpuContext* c, Op* op)
    {
        if (!MayChangeInterruptFlag(c))
            return null;
        if ((c->State.Rflags & Rflags.IF) == 0)
        {
            c->State.Rflags |= Rflags.IF;
            c->State.InterruptShadow = true;
        }
        return Plumbing.Leave(c, op);
    }

    private static Op* ClearAlignmentCheck(VcpuContext* c, Op* op) => ChangeAlignmentCheck(c, op, 0);

    private static Op* SetAlignmentCheck(VcpuContext* c, Op* op) => ChangeAlignmentCheck(c, op, Rflags.AC);

    private static Op* ChangeAlignmentCheck(VcpuContext* c, Op* op, ulong value)
    {
        if (c->State.Cpl != 0)
        {
            c->Raise(Vector.UD);
            return null;
        }
        c->State.Rflags = (c->State.Rflags & ~Rflags.AC) | value;
        return Plumbing.Leave(c, op);
    }

    /// <summary>Caches are invisible to the guest: only the privilege check is left.</summary>
    private static Op* WriteBack(VcpuContext* c, Op* op) => Plumbing.Privileged(c) ? op + 1 : null;

    /// <summary>Faults as a read of a byte does (SDM 2A, CLFLUSH).</summary>
    private static Op* FlushLine(VcpuContext* c, Op* op) => GuestAccess.Load(c, GuestAccess.Address(c, op), out byte _) ? op + 1 : null;
}
