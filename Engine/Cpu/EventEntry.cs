using System.Runtime.CompilerServices;

namespace Godwit.Engine.Cpu;

/// <summary>
/// One passage through the IDT (Intel SDM 3A, 6.10 to 6.14) or the real-mode vector table. All checks and stores come
/// before any change of state, so that a fault leaves the vCPU as it was.
/// </summary>
internal static unsafe class EventEntry
{
    /// <summary>Enters an event's handler; false when a fault is recorded.</summary>
    public static bool Enter(VcpuContext* c, in Fault fault, EventKind kind, ulong returnRip)
    {
        // EXT: the event is not an INT n, INT3 or INTO of the program.
        uint ext = kind is EventKind.Software or EventKind.SoftwareException ? 0u : 1u;
        if (c->State.LongMode)
            return EnterLong(c, fault, kind, returnRip, ext);
        return c->State.ProtectedMode ? EnterProtected(c, fault, kind, returnRip, ext) : EnterReal(c, fault, returnRip, ext);
    }

    private static uint GateError(byte vector, uint ext) => (uint)vector << 3 | 2 | ext;

    /// <summary>RFLAGS as pushed: RF is set for faults, so that their instruction's breakpoint does not repeat (SDM 3B, 17.3.1.1).</summary>
    private static ulong PushedFlags(VcpuContext* c, in Fault fault, EventKind kind)
    {
        ulong flags = c->GetRflags();
        bool isFault = kind == EventKind.Exception && fault.Vector is not ((byte)Vector.DB or (byte)Vector.DF or (byte)Vector.MC);
        return isFault ? flags | Rflags.RF : flags;
    }

    private static void EnterFlags(VcpuContext* c, bool clearInterrupts)
    {
        ulong clear = Rflags.TF | Rflags.NT | Rflags.RF | Rflags.VM;
        if (clearInterrupts)
            clear |= Rflags.IF;
        c->State.Rflags &= ~clear;
    }

    /// <summary>Checks the gate that a vector names; its low eight bytes are returned.</summary>
    private static bool FetchGate(VcpuContext* c, byte vector, EventKind kind, uint ext, int size, out Descriptor gate)
    {
        gate = default;
        uint offset = (uint)(vector * size);
        if (offset + (uint)size - 1 > c->State.Idtr.Limit)
            return c->Raise(Vector.GP, GateError(vector, ext));
        if (!LinearMemory.ReadSystem(c, c->State.Idtr.Base + offset, out ulong raw))
            return false;
        gate = new Descriptor(raw);
        bool known = gate.IsSystem && (gate.Type is Descriptor.InterruptGate32 or Descriptor.TrapGate32
            || (size == 8 && gate.Type is Descriptor.TaskGate or Descriptor.InterruptGate16 or Descriptor.TrapGate16));
        bool software = kind is EventKind.Software or EventKind.SoftwareException;
        if (!known || (software && gate.Dpl < c->State.Cpl))
            return c->Raise(Vector.GP, GateError(vector, ext));
        return gate.Present || c->Raise(Vector.NP, GateError(vector, ext));
    }

    /// <summary>Checks the handler's code segment and says which privilege level it runs at.</summary>
    private static bool FetchHandler(VcpuContext* c, ushort selector, uint ext, bool longMode, out Descriptor code, out int level)
    {
        level = c->State.Cpl;
        code = default;
        if (Descriptors.IsNull(selector))
            return c->Raise(Vector.GP, ext);
        if (!Descriptors.Fetch(c, selector, Vector.GP, ext, out code))
            return false;
        if (!code.IsCode || code.Dpl > level || (longMode && (!code.Long || code.Big)))
            return c->Raise(Vector.GP, Descriptors.ErrorCode(selector, ext));
        if (!code.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(selector, ext));
        if (!code.IsConforming)
            level = code.Dpl;
        return true;
    }

    [SkipLocalsInit]
    private static bool EnterLong(VcpuContext* c, in Fault fault, EventKind kind, ulong returnRip, uint ext)
    {
        ref CpuState state = ref c->State;
        if (!FetchGate(c, fault.Vector, kind, ext, 16, out Descriptor gate)
            || !LinearMemory.ReadSystem(c, state.Idtr.Base + (uint)(fault.Vector * 16 + 8), out uint offsetHigh)
            || !FetchHandler(c, gate.GateSelector, ext, longMode: true, out Descriptor code, out int level))
            return false;
        ulong target = (ulong)offsetHigh << 32 | gate.GateOffset;
        if (!Paging.IsCanonical(target))
            return c->Raise(Vector.GP, ext);

        ulong stack = state.Gpr[Gpr.RSP];
        int ist = gate.GateCount & 7;
        bool inner = level != state.Cpl;
        if ((ist != 0 || inner) && !TaskState.ReadStack64(c, ist != 0 ? TaskState.Ist1 + (ist - 1) * 8 : TaskState.Rsp0 + level * 8, ext, out stack))
            return false;
        stack &= ~0xful;

        ulong* frame = stackalloc ulong[6];
        frame[0] = fault.ErrorCode;
        frame[1] = returnRip;
        frame[2] = state.Cs.Selector;
        frame[3] = PushedFlags(c, fault, kind);
        frame[4] = state.Gpr[Gpr.RSP];
        frame[5] = state.Ss.Selector;
        int first = fault.HasErrorCode ? 0 : 1;
        uint length = (uint)(6 - first) * 8;
        stack -= length;
        if (!Paging.IsCanonical(stack) || !Paging.IsCanonical(stack + length - 1))
            return c->Raise(Vector.SS, ext);
        if (!LinearMemory.Write(c, stack, level == 3, new ReadOnlySpan<byte>(frame + first, (int)length))
            || !Descriptors.MarkAccessed(c, gate.GateSelector, code))
            return false;

        state.Gpr[Gpr.RSP] = stack;
        state.Cs = code.ToSegment((ushort)(gate.GateSelector & ~3 | level));
        if (inner)
            state.Ss = Segments.NullStack((ushort)level, level);
        state.Rip = target;
        EnterFlags(c, gate.Type == Descriptor.InterruptGate32);
        return true;
    }

    private static bool EnterProtected(VcpuContext* c, in Fault fault, EventKind kind, ulong returnRip, uint ext)
    {
        ref CpuState state = ref c->State;
        if (!FetchGate(c, fault.Vector, kind, ext, 8, out Descriptor gate))
            return false;
        if (gate.Type == Descriptor.TaskGate)
            return TaskSwitch.Enter(c, gate.GateSelector, ext, returnRip, PushedFlags(c, fault, kind), fault.HasErrorCode, fault.ErrorCode);
        if (!FetchHandler(c, gate.GateSelector, ext, longMode: false, out Descriptor code, out int level))
            return false;
        bool wide = gate.Type >= Descriptor.InterruptGate32;
        uint target = wide ? gate.GateOffset : gate.GateOffset & 0xffff;
        bool inner = level != state.Cpl;
        Segment stack = state.Ss;
        ulong pointer = state.Gpr[Gpr.RSP];
        if (inner && !TaskState.ReadStack32(c, level, ext, out stack, out pointer))
            return false;
        if (target > code.Limit)
            return c->Raise(Vector.GP, ext);

        StackFrame frame = new(c, stack, pointer, wide ? 4 : 2, level);
        if (inner)
        {
            frame.Push(state.Ss.Selector);
            frame.Push(state.Gpr[Gpr.RSP]);
        }
        frame.Push(PushedFlags(c, fault, kind));
        frame.Push(state.Cs.Selector);
        frame.Push(returnRip);
        if (fault.HasErrorCode)
            frame.Push(fault.ErrorCode);
        if (!frame.Store(inner ? Descriptors.ErrorCode(stack.Selector, ext) : ext) || !Descriptors.MarkAccessed(c, gate.GateSelector, code))
            return false;

        state.Ss = stack;
        state.Gpr[Gpr.RSP] = frame.Pointer;
        state.Cs = code.ToSegment((ushort)(gate.GateSelector & ~3 | level));
        state.Rip = target;
        EnterFlags(c, (gate.Type & 1) == 0);
        return true;
    }

    private static bool EnterReal(VcpuContext* c, in Fault fault, ulong returnRip, uint ext)
    {
        ref CpuState state = ref c->State;
        uint offset = fault.Vector * 4u;
        if (offset + 3 > state.Idtr.Limit)
            return c->Raise(Vector.GP, GateError(fault.Vector, ext));
        if (!LinearMemory.ReadSystem(c, state.Idtr.Base + offset, out uint target))
            return false;
        StackFrame frame = new(c, state.Ss, state.Gpr[Gpr.RSP], 2, 0);
        frame.Push(c->GetRflags());
        frame.Push(state.Cs.Selector);
        frame.Push(returnRip);
        if (!frame.Store(0))
            return false;
        state.Gpr[Gpr.RSP] = frame.Pointer;
        state.Cs.Selector = (ushort)(target >> 16);
        state.Cs.Base = (target >> 16) << 4;
        state.Rip = (ushort)target;
        state.Rflags &= ~(Rflags.IF | Rflags.TF | Rflags.AC | Rflags.RF);
        return true;
    }
}
