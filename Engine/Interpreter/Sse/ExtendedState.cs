using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.SystemInstructions;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>
/// XSAVE, XSAVEOPT, XSAVEC, XRSTOR, XGETBV and XSETBV (Intel SDM 1, chapter 13): the components x87, SSE and AVX in the
/// standard and in the compacted format, which differ here in their headers only. XSAVEOPT leaves out what is in its
/// initial state; it does not remember what has not changed since the last XRSTOR.
/// </summary>
internal static unsafe class ExtendedState
{
    private const int HeaderBits = Xcr0.HeaderOffset, HeaderForm = Xcr0.HeaderOffset + 8, HeaderRest = Xcr0.HeaderOffset + 16;
    private const int MostBytes = Xcr0.AvxOffset + Xcr0.AvxSize;
    private const ulong Compacted = 1ul << 63;
    private const uint InitialMxcsr = 0x1f80;
    private const ushort InitialControl = 0x37f;

    public static readonly Row[] Rows =
    [
        new(Mnemonic.Xsave, (in Instruction instruction, ref Op op) => new Handler(&Save<Everything, uint>)),
        new(Mnemonic.Xsave64, (in Instruction instruction, ref Op op) => new Handler(&Save<Everything, ulong>)),
        new(Mnemonic.Xsaveopt, (in Instruction instruction, ref Op op) => new Handler(&Save<InUse, uint>)),
        new(Mnemonic.Xsaveopt64, (in Instruction instruction, ref Op op) => new Handler(&Save<InUse, ulong>)),
        new(Mnemonic.Xsavec, (in Instruction instruction, ref Op op) => new Handler(&Save<InUseCompacted, uint>)),
        new(Mnemonic.Xsavec64, (in Instruction instruction, ref Op op) => new Handler(&Save<InUseCompacted, ulong>)),
        new(Mnemonic.Xrstor, (in Instruction instruction, ref Op op) => new Handler(&Restore<uint>)),
        new(Mnemonic.Xrstor64, (in Instruction instruction, ref Op op) => new Handler(&Restore<ulong>)),
        new(Mnemonic.Xgetbv, (in Instruction instruction, ref Op op) => new Handler(&GetControl)),
        new(Mnemonic.Xsetbv, (in Instruction instruction, ref Op op) => new Handler(&SetControl)) { EndsBlock = true },
    ];

    /// <summary>What a save writes.</summary>
    private interface ISaveForm
    {
        static abstract bool LeavesOutInitial { get; }

        static abstract bool IsCompacted { get; }
    }

    private readonly struct Everything : ISaveForm
    {
        public static bool LeavesOutInitial => false;

        public static bool IsCompacted => false;
    }

    private readonly struct InUse : ISaveForm
    {
        public static bool LeavesOutInitial => true;

        public static bool IsCompacted => false;
    }

    private readonly struct InUseCompacted : ISaveForm
    {
        public static bool LeavesOutInitial => true;

        public static bool IsCompacted => true;
    }

    private static bool Enabled(VcpuContext* c) => (c->State.Cr4 & Cr4.OSXSAVE) != 0 || c->Raise(Vector.UD);

    private static ulong Pair(VcpuContext* c) => c->State.Gpr[Gpr.RDX] << 32 | (uint)c->State.Gpr[Gpr.RAX];

    private static Op* GetControl(VcpuContext* c, Op* op)
    {
        if (!Enabled(c))
            return VectorState.Leave(c, op);
        uint index = (uint)c->State.Gpr[Gpr.RCX];
        if (index > 1)
            return VectorState.LeaveProtection(c, op);
        ulong value = index == 0 ? c->State.Xcr0 : c->State.Xcr0 & ComponentsInUse(&c->State);
        c->State.Gpr[Gpr.RAX] = (uint)value;
        c->State.Gpr[Gpr.RDX] = value >> 32;
        return op + 1;
    }

    private static Op* SetControl(VcpuContext* c, Op* op)
    {
        if (!Enabled(c) || !Plumbing.Privileged(c))
            return null;
        ulong value = Pair(c);
        CpuidResult known = Vcpu.Of(c).Services.Cpuid(CpuidModel.StateLeaf, 0);
        if ((uint)c->State.Gpr[Gpr.RCX] != 0 || !Xcr0.IsValid(value) || (value & ~((ulong)known.Edx << 32 | known.Eax)) != 0)
        {
            c->Raise(Vector.GP, 0);
            return null;
        }
        c->State.Xcr0 = value;
        return Plumbing.Leave(c, op);
    }

    private static bool Ready(VcpuContext* c, Op* op, out ulong address)
    {
        address = GuestAccess.Address(c, op);
        if (!Enabled(c))
            return false;
        if ((c->State.Cr0 & Cr0.TS) != 0)
            return c->Raise(Vector.NM);
        return (address & 63) == 0 || c->Raise(Vector.GP, 0);
    }

    private static Op* Save<TForm, TPointer>(VcpuContext* c, Op* op)
        where TForm : struct, ISaveForm
        where TPointer : unmanaged
    {
        if (!Ready(c, op, out ulong address) || !GuestAccess.LoadForWrite(c, address + HeaderBits, out ulong before))
            return VectorState.Leave(c, op);
        CpuState* state = &c->State;
        ulong asked = state->Xcr0 & Pair(c), used = ComponentsInUse(state);
        if (TForm.IsCompacted && state->Mxcsr != InitialMxcsr)
            used |= Xcr0.Sse;
        ulong saved = TForm.LeavesOutInitial ? asked & used : asked;
        byte* image = stackalloc byte[MostBytes];
        new Span<byte>(image, MostBytes).Clear();
        if ((saved & Xcr0.X87) != 0)
        {
            StateImage.WriteX87<TPointer>(state, image);
            // The words beside MXCSR belong to x87, MXCSR and its mask to SSE and AVX.
            if (!Put(c, address, image, 0, StateImage.MxcsrOffset) || !Put(c, address, image, StateImage.MxcsrOffset + 8, StateImage.VectorArea))
                return VectorState.Leave(c, op);
        }
        if (TForm.IsCompacted ? (saved & Xcr0.Sse) != 0 : (asked & (Xcr0.Sse | Xcr0.Avx)) != 0)
        {
            if (!GuestAccess.Store(c, address + StateImage.MxcsrOffset, state->Mxcsr | (ulong)StateImage.MxcsrMask << 32))
                return VectorState.Leave(c, op);
        }
        if (!SaveVectors(c, address, saved))
            return VectorState.Leave(c, op);
        if (TForm.IsCompacted && !GuestAccess.Store(c, address + HeaderForm, asked | Compacted))
            return VectorState.Leave(c, op);
        ulong after = TForm.IsCompacted ? saved : (before & ~asked) | (asked & used);
        return GuestAccess.Store(c, address + HeaderBits, after) ? op + 1 : VectorState.Leave(c, op);
    }

    private static bool SaveVectors(VcpuContext* c, ulong address, ulong saved)
    {
        int registers = c->State.Mode64 ? 16 : 8;
        for (int i = 0; i < registers; i++)
        {
            UInt128* register = (UInt128*)(c->State.Vector + 32 * i);
            ulong offset = 16 * (ulong)i;
            if ((saved & Xcr0.Sse) != 0 && !GuestAccess.Store(c, address + StateImage.VectorArea + offset, register[0]))
                return false;
            if ((saved & Xcr0.Avx) != 0 && !GuestAccess.Store(c, address + Xcr0.AvxOffset + offset, register[1]))
                return false;
        }
        return true;
    }

    private static bool Put(VcpuContext* c, ulong address, byte* image, int from, int to)
    {
        for (int offset = from; offset < to; offset += 8)
        {
            if (!GuestAccess.Store(c, address + (ulong)offset, *(ulong*)(image + offset)))
                return false;
        }
        return true;
    }

    private static Op* Restore<TPointer>(VcpuContext* c, Op* op)
        where TPointer : unmanaged
    {
        if (!Ready(c, op, out ulong address))
            return VectorState.Leave(c, op);
        byte* image = stackalloc byte[MostBytes];
        if (!Fetch(c, address, image, 0, Xcr0.AvxOffset))
            return VectorState.Leave(c, op);
        CpuState* state = &c->State;
        ulong present = *(ulong*)(image + HeaderBits), form = *(ulong*)(image + HeaderForm);
        bool compacted = (form & Compacted) != 0;
        if (!IsHeader(present, form, compacted, image, state->Xcr0))
            return VectorState.LeaveProtection(c, op);
        ulong asked = state->Xcr0 & Pair(c), loaded = asked & present;
        if ((loaded & Xcr0.Avx) != 0 && !Fetch(c, address, image, Xcr0.AvxOffset, MostBytes))
            return VectorState.Leave(c, op);
        bool control = compacted ? (loaded & Xcr0.Sse) != 0 : (asked & (Xcr0.Sse | Xcr0.Avx)) != 0;
        if (control && (*(uint*)(image + StateImage.MxcsrOffset) & ~StateImage.MxcsrMask) != 0)
            return VectorState.LeaveProtection(c, op);

        if (control)
            state->Mxcsr = *(uint*)(image + StateImage.MxcsrOffset);
        else if (compacted && (asked & Xcr0.Sse) != 0)
            state->Mxcsr = InitialMxcsr;
        if ((loaded & Xcr0.X87) != 0)
            StateImage.ReadX87<TPointer>(state, image);
        else if ((asked & Xcr0.X87) != 0)
            InitializeX87(state);
        int registers = state->Mode64 ? 16 : 8;
        for (int i = 0; i < registers; i++)
        {
            UInt128* register = (UInt128*)(state->Vector + 32 * i);
            if ((asked & Xcr0.Sse) != 0)
                register[0] = (loaded & Xcr0.Sse) != 0 ? *(UInt128*)(image + StateImage.VectorArea + 16 * i) : 0;
            if ((asked & Xcr0.Avx) != 0)
                register[1] = (loaded & Xcr0.Avx) != 0 ? *(UInt128*)(image + Xcr0.AvxOffset + 16 * i) : 0;
        }
        return op + 1;
    }

    /// <summary>What XRSTOR demands of a header; where it does not hold, #GP(0).</summary>
    private static bool IsHeader(ulong present, ulong form, bool compacted, byte* image, ulong enabled)
    {
        // The standard format needs bytes 8 to 23 clear, the compacted one bytes 16 to 63.
        for (int offset = HeaderRest; offset < (compacted ? Xcr0.AvxOffset : HeaderRest + 8); offset += 8)
        {
            if (*(ulong*)(image + offset) != 0)
                return false;
        }
        return compacted ? (form & ~(enabled | Compacted)) == 0 && (present & ~form) == 0 && (present & Compacted) == 0 : form == 0 && (present & ~enabled) == 0;
    }

    private static bool Fetch(VcpuContext* c, ulong address, byte* image, int from, int to)
    {
        for (int offset = from; offset < to; offset += 16)
        {
            if (!GuestAccess.Load(c, address + (ulong)offset, out *(UInt128*)(image + offset)))
                return false;
        }
        return true;
    }

    private static void InitializeX87(CpuState* state)
    {
        state->X87Control = InitialControl;
        state->X87Status = 0;
        state->X87Tag = 0;
        state->X87Opcode = 0;
        state->X87InstructionPointer = state->X87DataPointer = 0;
        new Span<ulong>(state->X87, 16).Clear();
    }

    /// <summary>The components that are not in their initial state; MXCSR counts for none (SDM 1, 13.6).</summary>
    private static ulong ComponentsInUse(CpuState* state)
    {
        ulong used = 0;
        bool initial = state->X87Control == InitialControl && state->X87Status == 0 && state->X87Tag == 0 && state->X87Opcode == 0
            && state->X87InstructionPointer == 0 && state->X87DataPointer == 0 && !new ReadOnlySpan<ulong>(state->X87, 16).ContainsAnyExcept(0ul);
        if (!initial)
            used |= Xcr0.X87;
        UInt128 low = 0, high = 0;
        for (int i = 0; i < 16; i++)
        {
            UInt128* register = (UInt128*)(state->Vector + 32 * i);
            low |= register[0];
            high |= register[1];
        }
        if (low != 0)
            used |= Xcr0.Sse;
        if (high != 0)
            used |= Xcr0.Avx;
        return used;
    }
}
