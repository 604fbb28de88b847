using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>MOV to and from control and debug registers, SMSW, LMSW, CLTS, INVLPG, INVPCID.</summary>
internal static unsafe class ControlMoves
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Mov, SelectRead),
        new(Mnemonic.Mov, SelectWrite) { EndsBlock = true },
        new(Mnemonic.Smsw, SelectStoreStatus),
        new(Mnemonic.Lmsw, SelectLoadStatus) { EndsBlock = true },
        new(Mnemonic.Clts, (in Instruction i, ref Op op) => new(&ClearTaskSwitched)) { EndsBlock = true },
        new(Mnemonic.Invlpg, (in Instruction i, ref Op op) => new(&InvalidatePage)) { EndsBlock = true },
        new(Mnemonic.Invpcid, SelectInvalidatePcid) { EndsBlock = true },
    ];

    private static bool IsControl(Register register) => register is >= Register.CR0 and <= Register.CR15;

    private static bool IsDebug(Register register) => register is >= Register.DR0 and <= Register.DR15;

    private static Handler SelectRead(in Instruction instruction, ref Op op)
    {
        if (instruction.OpCount != 2 || instruction.Op1Kind != OpKind.Register)
            return default;
        Register source = instruction.Op1Register;
        if (IsControl(source))
        {
            op.Third = (ushort)instruction.Op0Register.GetSize();
            op.Extra = (uint)(source - Register.CR0);
            return new(&ReadControl);
        }
        if (!IsDebug(source))
            return default;
        op.Third = (ushort)instruction.Op0Register.GetSize();
        op.Extra = (uint)(source - Register.DR0);
        return new(&ReadDebug);
    }

    private static Handler SelectWrite(in Instruction instruction, ref Op op)
    {
        if (instruction.OpCount != 2 || instruction.Op0Kind != OpKind.Register)
            return default;
        Register target = instruction.Op0Register;
        if (IsControl(target))
        {
            op.Third = (ushort)instruction.Op1Register.GetSize();
            op.Extra = (uint)(target - Register.CR0);
            return new(&WriteControl);
        }
        if (!IsDebug(target))
            return default;
        op.Third = (ushort)instruction.Op1Register.GetSize();
        op.Extra = (uint)(target - Register.DR0);
        return new(&WriteDebug);
    }

    private static Op* ReadControl(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c) || !ControlRegisters.Read(c, (int)op->Extra, out ulong value))
            return null;
        Plumbing.SetRegister(c, op->Dst, op->Third, value);
        return op + 1;
    }

    private static Op* ReadDebug(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c) || !DebugRegisters.Read(c, (int)op->Extra, out ulong value))
            return null;
        Plumbing.SetRegister(c, op->Dst, op->Third, value);
        return op + 1;
    }

    private static ulong Source(VcpuContext* c, Op* op)
    {
        ulong value = Plumbing.Register(c, op->Src);
        return op->Third == 4 ? (uint)value : value;
    }

    private static Op* WriteControl(VcpuContext* c, Op* op) =>
        Plumbing.Privileged(c) && ControlRegisters.Write(c, (int)op->Extra, Source(c, op)) ? Plumbing.Leave(c, op) : null;

    private static Op* WriteDebug(VcpuContext* c, Op* op) =>
        Plumbing.Privileged(c) && DebugRegisters.Write(c, (int)op->Extra, Source(c, op)) ? Plumbing.Leave(c, op) : null;

    private static Handler SelectStoreStatus(in Instruction instruction, ref Op op)
    {
        if (instruction.Op0Kind == OpKind.Memory)
            return new(&StoreStatusToMemory);
        op.Third = (ushort)instruction.Op0Register.GetSize();
        return new(&StoreStatusToRegister);
    }

    private static Op* StoreStatusToMemory(VcpuContext* c, Op* op) =>
        TableRegisters.MayStore(c) && GuestAccess.Store(c, GuestAccess.Address(c, op), (ushort)c->State.Cr0) ? op + 1 : null;

    private static Op* StoreStatusToRegister(VcpuContext* c, Op* op)
    {
        if (!TableRegisters.MayStore(c))
            return null;
        Plumbing.SetRegister(c, op->Dst, op->Third, c->State.Cr0);
        return op + 1;
    }

    private static Handler SelectLoadStatus(in Instruction instruction, ref Op op) =>
        instruction.Op0Kind == OpKind.Memory ? new(&LoadStatusFromMemory) : new(&LoadStatusFromRegister);

    private static Op* LoadStatusFromMemory(VcpuContext* c, Op* op) =>
        Plumbing.Privileged(c) && GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort value) && ControlRegisters.LoadStatusWord(c, value)
            ? Plumbing.Leave(c, op)
            : null;

    private static Op* LoadStatusFromRegister(VcpuContext* c, Op* op) =>
        Plumbing.Privileged(c) && ControlRegisters.LoadStatusWord(c, (ushort)Plumbing.Register(c, op->Dst)) ? Plumbing.Leave(c, op) : null;

    private static Op* ClearTaskSwitched(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c))
            return null;
        c->State.Cr0 &= ~Cr0.TS;
        return Plumbing.Leave(c, op);
    }

    private static Op* InvalidatePage(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c))
            return null;
        ulong address = GuestAccess.Address(c, op);
        if (!c->State.Mode64)
            address = (uint)address;
        // A non-canonical address is not cached anywhere, and no fault (SDM 2A, INVLPG).
        if (Paging.IsCanonical(address))
            Vcpu.Of(c).Translations.FlushPage(address);
        return Plumbing.Leave(c, op);
    }

    private static Handler SelectInvalidatePcid(in Instruction instruction, ref Op op)
    {
        op.Third = (ushort)instruction.Op0Register.GetSize();
        return new(&InvalidatePcid);
    }

    // SDM 2A, INVPCID.
    private static Op* InvalidatePcid(VcpuContext* c, Op* op)
    {
        if (!Plumbing.Privileged(c))
            return null;
        ulong kind = Plumbing.Register(c, op->Dst);
        if (op->Third == 4)
            kind = (uint)kind;
        ulong address = GuestAccess.Address(c, op);
        if (!GuestAccess.Load(c, address, out UInt128 descriptor))
            return null;
        ulong linear = (ulong)(descriptor >> 64), first = (ulong)descriptor;
        int pcid = (int)(first & Cr3.PcidMask);
        bool tagged = (c->State.Cr4 & Cr4.PCIDE) != 0;
        bool refused = kind > 3 || first >> 12 != 0 || (kind <= 1 && pcid != 0 && !tagged) || (kind == 0 && !Paging.IsCanonical(linear));
        if (refused)
        {
            c->Raise(Vector.GP, 0);
            return null;
        }
        ITranslationCache translations = Vcpu.Of(c).Translations;
        switch (kind)
        {
            case 0:
                translations.FlushPage(linear, pcid);
                break;
            case 1:
                translations.FlushNonGlobal(pcid);
                break;
            case 2:
                translations.FlushAll();
                break;
            default:
                translations.FlushNonGlobal();
                break;
        }
        return Plumbing.Leave(c, op);
    }
}
