using System.Numerics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.SystemInstructions;

/// <summary>INS and OUTS, with rep restartable between any two elements.</summary>
internal static unsafe class PortStrings
{
    /// <summary>Elements moved before the run ends.</summary>
    private const int Longest = 256;

    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Insb, (in Instruction i, ref Op op) => new(&In<byte>)) { EndsBlock = true },
        new(Mnemonic.Insw, (in Instruction i, ref Op op) => new(&In<ushort>)) { EndsBlock = true },
        new(Mnemonic.Insd, (in Instruction i, ref Op op) => new(&In<uint>)) { EndsBlock = true },
        new(Mnemonic.Outsb, (in Instruction i, ref Op op) => new(&Out<byte>)) { EndsBlock = true },
        new(Mnemonic.Outsw, (in Instruction i, ref Op op) => new(&Out<ushort>)) { EndsBlock = true },
        new(Mnemonic.Outsd, (in Instruction i, ref Op op) => new(&Out<uint>)) { EndsBlock = true },
    ];

    private static Op* In<T>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        ref CpuState state = ref c->State;
        ushort port = (ushort)state.Gpr[Gpr.RDX];
        if (!PortAccess.Allowed(c, port, sizeof(T)))
            return null;
        Vcpu vcpu = Vcpu.Of(c);
        ulong mask = Mask(op);
        // ES has no override.
        ulong segment = state.Mode64 ? 0 : state.Es.Base;
        int room = Longest;
        while (!Finished(c, op, mask))
        {
            ulong address = segment + (state.Gpr[Gpr.RDI] & mask);
            // A port must not be read in vain: the store is checked first.
            if (!GuestAccess.LoadForWrite(c, address, out T _))
                return null;
            if (!GuestAccess.Store(c, address, T.CreateTruncating(vcpu.Bus.ReadPort(port, sizeof(T)))))
                return null;
            if (!Advance<T>(c, op, Gpr.RDI, mask, --room))
                return null;
        }
        return Plumbing.Leave(c, op);
    }

    private static Op* Out<T>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        ref CpuState state = ref c->State;
        ushort port = (ushort)state.Gpr[Gpr.RDX];
        if (!PortAccess.Allowed(c, port, sizeof(T)))
            return null;
        Vcpu vcpu = Vcpu.Of(c);
        ulong mask = Mask(op);
        ulong segment = *(ulong*)((byte*)c + op->SegmentBase);
        int room = Longest;
        while (!Finished(c, op, mask))
        {
            if (!GuestAccess.Load(c, segment + (state.Gpr[Gpr.RSI] & mask), out T value))
                return null;
            vcpu.Bus.WritePort(port, sizeof(T), uint.CreateTruncating(value));
            if (!Advance<T>(c, op, Gpr.RSI, mask, --room))
                return null;
        }
        return Plumbing.Leave(c, op);
    }

    private static bool IsRepeated(Op* op) => (op->Flags & (byte)(OpFlags.Rep | OpFlags.Repne)) != 0;

    private static ulong Mask(Op* op) => op->AddressSize switch
    {
        2 => ushort.MaxValue,
        4 => uint.MaxValue,
        _ => ulong.MaxValue,
    };

    /// <summary>Whether a repeated instruction has no element left. One without rep is finished by <see cref="Advance"/>'s count of one.</summary>
    private static bool Finished(VcpuContext* c, Op* op, ulong mask) => IsRepeated(op) && (c->State.Gpr[Gpr.RCX] & mask) == 0;

    /// <summary>
    /// Steps index and count past an element. False: leave the instruction, with RIP set where it is complete, or marked
    /// partial where others wait for the vCPU.
    /// </summary>
    private static bool Advance<T>(VcpuContext* c, Op* op, int index, ulong mask, int room)
        where T : unmanaged
    {
        ref CpuState state = ref c->State;
        long step = (state.Rflags & Rflags.DF) != 0 ? -sizeof(T) : sizeof(T);
        state.Gpr[index] = Merge(state.Gpr[index], state.Gpr[index] + (ulong)step, mask);
        if (!IsRepeated(op))
        {
            Plumbing.Leave(c, op);
            return false;
        }
        state.Gpr[Gpr.RCX] = Merge(state.Gpr[Gpr.RCX], state.Gpr[Gpr.RCX] - 1, mask);
        if ((state.Gpr[Gpr.RCX] & mask) == 0)
            return true;
        // Devices are slow: the run ends here, so that timers have their turn.
        if (room == 0)
            Volatile.Write(ref c->ExitRequest, 1);
        return Volatile.Read(ref c->ExitRequest) == 0 || Completion.Stop(c, Completion.Partial);
    }

    /// <summary>A register after a write of the address size: 4 bytes clear the upper half, 2 keep it.</summary>
    private static ulong Merge(ulong old, ulong value, ulong mask) => mask == ushort.MaxValue ? (old & ~mask) | (value & mask) : value & mask;
}
