namespace Godwit.Engine.Cpu;

/// <summary>
/// Far transfers of control (Intel SDM 2A, JMP, CALL, RET, IRET; 3A, 5.8). On success RIP, CS and what else changes are
/// set; on false a fault is recorded and nothing has changed. Operand sizes are 2, 4 or 8 bytes.
/// </summary>
public static unsafe partial class FarControl
{
    /// <summary>JMP ptr16:n or m16:n.</summary>
    public static bool Jump(VcpuContext* c, ushort selector, ulong offset, int operandSize, ulong nextRip)
    {
        offset = Cut(offset, operandSize);
        if (!c->State.ProtectedMode)
            return EnterReal(c, selector, offset);
        if (!FetchTarget(c, selector, out Descriptor descriptor))
            return false;
        if (!descriptor.IsSystem)
            return CheckDirect(c, selector, descriptor, offset)
                && Descriptors.MarkAccessed(c, selector, descriptor)
                && Commit(c, selector, descriptor, offset);
        if (IsCallGate(c, descriptor))
        {
            if (!FetchGateTarget(c, selector, descriptor, call: false, out ushort target, out Descriptor code, out ulong entry, out _)
                || !Descriptors.MarkAccessed(c, target, code))
                return false;
            return Commit(c, target, code, entry);
        }
        return TaskSwitch.Transfer(c, selector, descriptor, call: false, nextRip);
    }

    /// <summary>CALL ptr16:n or m16:n.</summary>
    public static bool Call(VcpuContext* c, ushort selector, ulong offset, int operandSize, ulong nextRip)
    {
        offset = Cut(offset, operandSize);
        ref CpuState state = ref c->State;
        if (!state.ProtectedMode)
        {
            StackFrame real = new(c, state.Ss, state.Gpr[Gpr.RSP], operandSize, 0);
            real.Push(state.Cs.Selector);
            real.Push(nextRip);
            if (offset > state.Cs.Limit)
                return c->Raise(Vector.GP, 0);
            if (!real.Store(0))
                return false;
            state.Gpr[Gpr.RSP] = real.Pointer;
            return EnterReal(c, selector, offset);
        }
        if (!FetchTarget(c, selector, out Descriptor descriptor))
            return false;
        if (descriptor.IsSystem)
            return IsCallGate(c, descriptor)
                ? CallGate(c, selector, descriptor, nextRip)
                : TaskSwitch.Transfer(c, selector, descriptor, call: true, nextRip);
        if (!CheckDirect(c, selector, descriptor, offset))
            return false;
        StackFrame frame = new(c, state.Ss, state.Gpr[Gpr.RSP], operandSize, state.Cpl, state.Mode64);
        frame.Push(state.Cs.Selector);
        frame.Push(nextRip);
        if (!frame.Store(0) || !Descriptors.MarkAccessed(c, selector, descriptor))
            return false;
        state.Gpr[Gpr.RSP] = frame.Pointer;
        return Commit(c, selector, descriptor, offset);
    }

    /// <summary>A call gate, to the same or an inner privilege level.</summary>
    private static bool CallGate(VcpuContext* c, ushort selector, Descriptor gate, ulong nextRip)
    {
        ref CpuState state = ref c->State;
        if (!FetchGateTarget(c, selector, gate, call: true, out ushort target, out Descriptor code, out ulong entry, out int level))
            return false;
        bool longMode = state.LongMode;
        int width = longMode ? 8 : gate.Type == Descriptor.CallGate32 ? 4 : 2;
        bool inner = level != state.Cpl;
        Segment stack = state.Ss;
        ulong pointer = state.Gpr[Gpr.RSP];
        if (inner && longMode)
        {
            if (!TaskState.ReadStack64(c, TaskState.Rsp0 + level * 8, 0, out pointer))
                return false;
            stack = Segments.NullStack((ushort)level, level);
        }
        else if (inner && !TaskState.ReadStack32(c, level, 0, out stack, out pointer))
            return false;

        StackFrame frame = new(c, stack, pointer, width, level, longMode);
        if (inner)
        {
            frame.Push(state.Ss.Selector);
            frame.Push(state.Gpr[Gpr.RSP]);
            for (int i = longMode ? 0 : gate.GateCount; i > 0; i--)
            {
                if (!ReadStack(c, (i - 1) * width, width, out ulong parameter))
                    return false;
                frame.Push(parameter);
            }
        }
        frame.Push(state.Cs.Selector);
        frame.Push(nextRip);
        if (!frame.Store(inner ? Descriptors.ErrorCode(stack.Selector) : 0) || !Descriptors.MarkAccessed(c, target, code))
            return false;
        state.Ss = stack;
        state.Gpr[Gpr.RSP] = frame.Pointer;
        state.Cs = code.ToSegment((ushort)(target & ~3 | level));
        state.Rip = entry;
        return true;
    }

    private static ulong Cut(ulong value, int size) => size switch
    {
        2 => (ushort)value,
        4 => (uint)value,
        _ => value,
    };

    private static bool EnterReal(VcpuContext* c, ushort selector, ulong offset)
    {
        if (offset > c->State.Cs.Limit)
            return c->Raise(Vector.GP, 0);
        c->State.Cs.Selector = selector;
        c->State.Cs.Base = (ulong)selector << 4;
        c->State.Rip = offset;
        return true;
    }

    private static bool FetchTarget(VcpuContext* c, ushort selector, out Descriptor descriptor)
    {
        descriptor = default;
        if (Descriptors.IsNull(selector))
            return c->Raise(Vector.GP, 0);
        return Descriptors.Fetch(c, selector, Vector.GP, 0, out descriptor);
    }

    private static bool IsCallGate(VcpuContext* c, Descriptor descriptor) =>
        descriptor.Type == Descriptor.CallGate32 || (descriptor.Type == Descriptor.CallGate16 && !c->State.LongMode);

    /// <summary>Checks a code segment that is the direct target of a far jump or call.</summary>
    private static bool CheckDirect(VcpuContext* c, ushort selector, Descriptor code, ulong offset)
    {
        int cpl = c->State.Cpl;
        bool allowed = code.IsConforming ? code.Dpl <= cpl : (selector & 3) <= cpl && code.Dpl == cpl;
        if (!code.IsCode || !allowed || (c->State.LongMode && code.Long && code.Big))
            return c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
        if (!code.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(selector));
        return CheckOffset(c, code, offset);
    }

    /// <summary>Whether execution can begin at an offset of a code segment: its limit, or canonical in 64-bit mode.</summary>
    private static bool CheckOffset(VcpuContext* c, Descriptor code, ulong offset)
    {
        bool valid = c->State.LongMode && code.Long ? Paging.IsCanonical(offset) : offset <= code.Limit;
        return valid || c->Raise(Vector.GP, 0);
    }

    /// <summary>Checks a call gate and its target.</summary>
    private static bool FetchGateTarget(VcpuContext* c, ushort selector, Descriptor gate, bool call, out ushort target, out Descriptor code, out ulong entry, out int level)
    {
        ref CpuState state = ref c->State;
        bool longMode = state.LongMode;
        level = state.Cpl;
        target = gate.GateSelector;
        entry = gate.Type == Descriptor.CallGate32 ? gate.GateOffset : gate.GateOffset & 0xffff;
        code = default;
        if (gate.Dpl < level || gate.Dpl < (selector & 3))
            return c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
        if (!gate.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(selector));
        if (longMode)
        {
            if (!Descriptors.FetchUpper(c, selector, Vector.GP, out ulong upper))
                return false;
            if (((upper >> 40) & 0x1f) != 0)
                return c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
            entry |= upper << 32;
        }
        if (!FetchTarget(c, target, out code))
            return false;
        bool allowed = code.IsConforming || call ? code.Dpl <= level : code.Dpl == level;
        if (!code.IsCode || !allowed || (longMode && (!code.Long || code.Big)))
            return c->Raise(Vector.GP, Descriptors.ErrorCode(target));
        if (!code.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(target));
        if (!code.IsConforming)
            level = code.Dpl;
        return CheckOffset(c, code, entry);
    }

    /// <summary>Continues at the same privilege level.</summary>
    private static bool Commit(VcpuContext* c, ushort selector, Descriptor code, ulong offset)
    {
        c->State.Cs = code.ToSegment((ushort)(selector & ~3 | c->State.Cpl));
        c->State.Rip = offset;
        return true;
    }

    /// <summary>Reads a value at a distance above the stack pointer.</summary>
    private static bool ReadStack(VcpuContext* c, int distance, int width, out ulong value)
    {
        ref CpuState state = ref c->State;
        ulong address;
        value = 0;
        if (state.Mode64)
        {
            address = state.Gpr[Gpr.RSP] + (uint)distance;
            if (!Paging.IsCanonical(address) || !Paging.IsCanonical(address + (uint)width - 1))
                return c->Raise(Vector.SS, 0);
        }
        else
        {
            ulong mask = (state.Ss.Attributes & Segment.DB) != 0 ? uint.MaxValue : ushort.MaxValue;
            ulong offset = (state.Gpr[Gpr.RSP] + (uint)distance) & mask;
            if (!Segments.Fits(state.Ss, (uint)offset, (uint)width))
                return c->Raise(Vector.SS, 0);
            address = (uint)(state.Ss.Base + offset);
        }
        bool user = state.Cpl == 3;
        switch (width)
        {
            case 2:
                bool done = LinearMemory.Read(c, address, user, out ushort word);
                value = word;
                return done;
            case 4:
                done = LinearMemory.Read(c, address, user, out uint dword);
                value = dword;
                return done;
            default:
                return LinearMemory.Read(c, address, user, out value);
        }
    }

    /// <summary>Sets the stack pointer as wide as a stack segment has it; the other bits stay.</summary>
    private static void SetStackPointer(VcpuContext* c, in Segment stack, bool target64, ulong value)
    {
        ref ulong pointer = ref c->State.Gpr[Gpr.RSP];
        if (target64)
            pointer = value;
        else if ((stack.Attributes & Segment.DB) != 0)
            pointer = (uint)value;
        else
            pointer = (pointer & ~0xfffful) | (ushort)value;
    }
}
