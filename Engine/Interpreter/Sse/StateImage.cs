using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>FXSAVE, FXRSTOR (AMD APM 2, 11.4.4; Intel SDM 1, 10.5), LDMXCSR, STMXCSR and EMMS.</summary>
internal static unsafe class StateImage
{
    /// <summary>MXCSR bits that exist: flags, DAZ, masks, rounding, FTZ. Setting another is #GP; FXSAVE stores this as MXCSR_MASK.</summary>
    public const uint MxcsrMask = 0xffff;

    /// <summary>Where MXCSR and its mask, and the XMM registers, lie in an image.</summary>
    public const int MxcsrOffset = 24, VectorArea = 160;

    private const int Size = 512, RegisterArea = 32;

    public static readonly Row[] Rows =
    [
        new(Mnemonic.Fxsave, (in Instruction instruction, ref Op op) => new Handler(&Save<uint>)),
        new(Mnemonic.Fxsave64, (in Instruction instruction, ref Op op) => new Handler(&Save<ulong>)),
        new(Mnemonic.Fxrstor, (in Instruction instruction, ref Op op) => new Handler(&Restore<uint>)),
        new(Mnemonic.Fxrstor64, (in Instruction instruction, ref Op op) => new Handler(&Restore<ulong>)),
        new(Mnemonic.Ldmxcsr, (in Instruction instruction, ref Op op) => new Handler(&LoadControl)),
        new(Mnemonic.Stmxcsr, (in Instruction instruction, ref Op op) => new Handler(&StoreControl)),
        new(Mnemonic.Emms, (in Instruction instruction, ref Op op) => new Handler(&Empty)),
    ];

    private static Op* LoadControl(VcpuContext* c, Op* op)
    {
        return VectorState.SseReady(c) ? FinishLoadControl(c, op) : VectorState.Leave(c, op);
    }

    /// <summary>Loads MXCSR from memory.</summary>
    public static Op* FinishLoadControl(VcpuContext* c, Op* op)
    {
        if (!GuestAccess.Load(c, GuestAccess.Address(c, op), out uint value))
            return VectorState.Leave(c, op);
        if ((value & ~MxcsrMask) != 0)
            return VectorState.LeaveProtection(c, op);
        c->State.Mxcsr = value;
        return op + 1;
    }

    private static Op* StoreControl(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Store(c, GuestAccess.Address(c, op), c->State.Mxcsr))
            return VectorState.Leave(c, op);
        return op + 1;
    }

    private static Op* Empty(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        c->State.X87Tag = 0;
        return op + 1;
    }

    /// <summary>The pointer width chooses the layout of the last instruction's and operand's addresses.</summary>
    private static Op* Save<TPointer>(VcpuContext* c, Op* op)
        where TPointer : unmanaged
    {
        if (!Ready(c, op, out ulong address))
            return VectorState.Leave(c, op);
        byte* image = stackalloc byte[Size];
        new Span<byte>(image, Size).Clear();
        Write<TPointer>(&c->State, image);
        // Bytes 464 to 511 are the program's; the area between the registers in use and there is left as it was, too.
        int end = VectorArea + (c->State.Mode64 ? 16 : 8) * 16;
        for (int offset = 0; offset < end; offset += 16)
        {
            if (!GuestAccess.Store(c, address + (ulong)offset, *(UInt128*)(image + offset)))
                return VectorState.Leave(c, op);
        }
        return op + 1;
    }

    private static Op* Restore<TPointer>(VcpuContext* c, Op* op)
        where TPointer : unmanaged
    {
        if (!Ready(c, op, out ulong address))
            return VectorState.Leave(c, op);
        byte* image = stackalloc byte[Size];
        for (int offset = 0; offset < Size; offset += 16)
        {
            if (!GuestAccess.Load(c, address + (ulong)offset, out *(UInt128*)(image + offset)))
                return VectorState.Leave(c, op);
        }
        if ((*(uint*)(image + MxcsrOffset) & ~MxcsrMask) != 0)
            return VectorState.LeaveProtection(c, op);
        Read<TPointer>(&c->State, image);
        return op + 1;
    }

    private static bool Ready(VcpuContext* c, Op* op, out ulong address)
    {
        address = GuestAccess.Address(c, op);
        if ((c->State.Cr0 & (Cr0.EM | Cr0.TS)) != 0)
            return c->Raise(Vector.NM);
        return (address & 15) == 0 || c->Raise(Vector.GP, 0);
    }

    private static void Write<TPointer>(CpuState* state, byte* image)
        where TPointer : unmanaged
    {
        WriteX87<TPointer>(state, image);
        *(uint*)(image + MxcsrOffset) = state->Mxcsr;
        *(uint*)(image + MxcsrOffset + 4) = MxcsrMask;
        for (int i = 0; i < 16; i++)
            *(UInt128*)(image + VectorArea + 16 * i) = *(UInt128*)(state->Vector + 32 * i);
    }

    private static void Read<TPointer>(CpuState* state, byte* image)
        where TPointer : unmanaged
    {
        ReadX87<TPointer>(state, image);
        state->Mxcsr = *(uint*)(image + MxcsrOffset);
        int vectors = state->Mode64 ? 16 : 8;
        for (int i = 0; i < vectors; i++)
            *(UInt128*)(state->Vector + 32 * i) = *(UInt128*)(image + VectorArea + 16 * i);
    }

    /// <summary>The x87 part of an image whose bytes are all zero.</summary>
    public static void WriteX87<TPointer>(CpuState* state, byte* image)
        where TPointer : unmanaged
    {
        *(ushort*)image = state->X87Control;
        *(ushort*)(image + 2) = state->X87Status;
        image[4] = state->X87Tag;
        // AMD stores the last instruction's pointers only while an exception waits (APM 2, 11.4.4), here zeros otherwise.
        if ((state->X87Status & X87Flags.ErrorSummary) != 0)
        {
            *(ushort*)(image + 6) = state->X87Opcode;
            *(ulong*)(image + 8) = sizeof(TPointer) == 8 ? state->X87InstructionPointer : (uint)state->X87InstructionPointer;
            *(ulong*)(image + 16) = sizeof(TPointer) == 8 ? state->X87DataPointer : (uint)state->X87DataPointer;
        }
        int top = (state->X87Status >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            int physical = (top + i) & 7;
            *(ulong*)(image + RegisterArea + 16 * i) = state->X87[2 * physical];
            *(ushort*)(image + RegisterArea + 16 * i + 8) = (ushort)state->X87[2 * physical + 1];
        }
    }

    /// <summary>Loads the x87 part of an image.</summary>
    public static void ReadX87<TPointer>(CpuState* state, byte* image)
        where TPointer : unmanaged
    {
        state->X87Control = (ushort)((*(ushort*)image & X87Flags.ControlBits) | X87Flags.ControlReserved);
        state->X87Status = X87Flags.WithSummary(*(ushort*)(image + 2), state->X87Control);
        state->X87Tag = image[4];
        bool waiting = (state->X87Status & X87Flags.ErrorSummary) != 0;
        state->X87Opcode = waiting ? (ushort)(*(ushort*)(image + 6) & 0x7ff) : (ushort)0;
        state->X87InstructionPointer = !waiting ? 0 : sizeof(TPointer) == 8 ? *(ulong*)(image + 8) : *(uint*)(image + 8);
        state->X87DataPointer = !waiting ? 0 : sizeof(TPointer) == 8 ? *(ulong*)(image + 16) : *(uint*)(image + 16);
        int top = (state->X87Status >> 11) & 7;
        for (int i = 0; i < 8; i++)
        {
            int physical = (top + i) & 7;
            state->X87[2 * physical] = *(ulong*)(image + RegisterArea + 16 * i);
            state->X87[2 * physical + 1] = *(ushort*)(image + RegisterArea + 16 * i + 8);
        }
    }
}
