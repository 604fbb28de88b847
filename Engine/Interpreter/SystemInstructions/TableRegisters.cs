using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>LGDT, LIDT, LLDT, LTR, SGDT, SIDT, SLDT, STR.</summary>
internal static unsafe class TableRegisters
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Lgdt, (in Instruction i, ref Op op) => SelectTable(i, ref op, new(&LoadGdt))),
        new(Mnemonic.Lidt, (in Instruction i, ref Op op) => SelectTable(i, ref op, new(&LoadIdt))),
        new(Mnemonic.Sgdt, (in Instruction i, ref Op op) => SelectTable(i, ref op, new(&StoreGdt))),
        new(Mnemonic.Sidt, (in Instruction i, ref Op op) => SelectTable(i, ref op, new(&StoreIdt))),
        new(Mnemonic.Lldt, (in Instruction i, ref Op op) => i.Op0Kind == OpKind.Memory ? new(&LoadLdtFromMemory) : new(&LoadLdtFromRegister)),
        new(Mnemonic.Ltr, (in Instruction i, ref Op op) => i.Op0Kind == OpKind.Memory ? new(&LoadTaskFromMemory) : new(&LoadTaskFromRegister)),
        new(Mnemonic.Sldt, (in Instruction i, ref Op op) => SelectStore(i, ref op, new(&StoreLdtToMemory), new(&StoreLdtToRegister))),
        new(Mnemonic.Str, (in Instruction i, ref Op op) => SelectStore(i, ref op, new(&StoreTaskToMemory), new(&StoreTaskToRegister))),
    ];

    /// <summary>CR4.UMIP keeps where the tables are from user mode: #GP(0).</summary>
    public static bool MayStore(VcpuContext* c) => (c->State.Cr4 & Cr4.UMIP) == 0 || c->State.Cpl == 0 || c->Raise(Vector.GP, 0);

    /// <summary>op.Third: bytes of the base in memory; op.Extra: the bits of it that count (24 with a 16-bit operand size).</summary>
    private static Handler SelectTable(in Instruction instruction, ref Op op, Handler handler)
    {
        bool wide = instruction.Code is Code.Lgdt_m1664 or Code.Lidt_m1664 or Code.Sgdt_m1664 or Code.Sidt_m1664;
        op.Third = (ushort)(wide ? 8 : 4);
        op.Extra = instruction.Code is Code.Lgdt_m1632_16 or Code.Lidt_m1632_16 ? 0xff_ffffu : uint.MaxValue;
        return handler;
    }

    private static Op* LoadGdt(VcpuContext* c, Op* op) => Load(c, op, ref c->State.Gdtr);

    private static Op* LoadIdt(VcpuContext* c, Op* op) => Load(c, op, ref c->State.Idtr);

    private static Op* Load(VcpuContext* c, Op* op, ref DescriptorTable table)
    {
        ulong address = GuestAccess.Address(c, op);
        if (!Plumbing.Privileged(c)
            || !GuestAccess.Load(c, address, out ushort limit)
            || !Plumbing.Load(c, address + 2, op->Third, out ulong @base))
            return null;
        if (op->Third == 4)
            @base &= op->Extra;
        return DescriptorRegisters.LoadTable(c, ref table, limit, @base) ? op + 1 : null;
    }

    private static Op* StoreGdt(VcpuContext* c, Op* op) => Store(c, op, c->State.Gdtr);

    private static Op* StoreIdt(VcpuContext* c, Op* op) => Store(c, op, c->State.Idtr);

    private static Op* Store(VcpuContext* c, Op* op, in DescriptorTable table)
    {
        ulong address = GuestAccess.Address(c, op);
        return MayStore(c) && GuestAccess.Store(c, address, table.Limit) && Plumbing.Store(c, address + 2, op->Third, table.Base) ? op + 1 : null;
    }

    private static bool MayLoad(VcpuContext* c) => Plumbing.Protected(c) && Plumbing.Privileged(c);

    private static Op* LoadLdtFromMemory(VcpuContext* c, Op* op) =>
        MayLoad(c) && GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort selector) && DescriptorRegisters.LoadLdt(c, selector) ? op + 1 : null;

    private static Op* LoadLdtFromRegister(VcpuContext* c, Op* op) =>
        MayLoad(c) && DescriptorRegisters.LoadLdt(c, (ushort)Plumbing.Register(c, op->Dst)) ? op + 1 : null;

    private static Op* LoadTaskFromMemory(VcpuContext* c, Op* op) =>
        MayLoad(c) && GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort selector) && DescriptorRegisters.LoadTask(c, selector) ? op + 1 : null;

    private static Op* LoadTaskFromRegister(VcpuContext* c, Op* op) =>
        MayLoad(c) && DescriptorRegisters.LoadTask(c, (ushort)Plumbing.Register(c, op->Dst)) ? op + 1 : null;

    private static Handler SelectStore(in Instruction instruction, ref Op op, Handler toMemory, Handler toRegister)
    {
        if (instruction.Op0Kind == OpKind.Memory)
            return toMemory;
        op.Third = (ushort)instruction.Op0Register.GetSize();
        return toRegister;
    }

    private static Op* StoreLdtToMemory(VcpuContext* c, Op* op) => StoreToMemory(c, op, c->State.Ldtr.Selector);

    private static Op* StoreLdtToRegister(VcpuContext* c, Op* op) => StoreToRegister(c, op, c->State.Ldtr.Selector);

    private static Op* StoreTaskToMemory(VcpuContext* c, Op* op) => StoreToMemory(c, op, c->State.Tr.Selector);

    private static Op* StoreTaskToRegister(VcpuContext* c, Op* op) => StoreToRegister(c, op, c->State.Tr.Selector);

    private static Op* StoreToMemory(VcpuContext* c, Op* op, ushort selector) =>
        Plumbing.Protected(c) && MayStore(c) && GuestAccess.Store(c, GuestAccess.Address(c, op), selector) ? op + 1 : null;

    private static Op* StoreToRegister(VcpuContext* c, Op* op, ushort selector)
    {
        if (!Plumbing.Protected(c) || !MayStore(c))
            return null;
        Plumbing.SetRegister(c, op->Dst, op->Third, selector);
        return op + 1;
    }
}
