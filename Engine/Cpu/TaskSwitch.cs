using System.Runtime.Intrinsics;

namespace Godwit.Engine.Cpu;

/// <summary>
/// Hardware task switches between 32-bit TSSs in protected mode (Intel SDM 3A, 7.3). The whole of the incoming TSS is read and
/// the outgoing one written before state changes; faults met while the new task's segments load are the new
/// task's, as on real processors.
/// </summary>
internal static unsafe class TaskSwitch
{
    /// <summary>Offsets in the 32-bit TSS (SDM 3A, figure 7-2).</summary>
    private const int Link = 0, Cr3 = 28, Eip = 32, Length = 104, FirstDynamic = Eip, DynamicLength = 64;

    private enum Cause
    {
        Jump,

        /// <summary>CALL or an event: the new task links back to the old one.</summary>
        Nested,
        Return,
    }

    /// <summary>JMP or CALL to a TSS or a task gate.</summary>
    public static bool Transfer(VcpuContext* c, ushort selector, Descriptor descriptor, bool call, ulong nextRip)
    {
        uint error = Descriptors.ErrorCode(selector);
        bool known = descriptor.Type is Descriptor.TaskGate or Descriptor.Tss32;
        if (c->State.LongMode || !known || descriptor.Dpl < Math.Max(c->State.Cpl, selector & 3))
            return c->Raise(Vector.GP, error);
        if (!descriptor.Present)
            return c->Raise(Vector.NP, error);
        ushort target = descriptor.Type == Descriptor.TaskGate ? descriptor.GateSelector : selector;
        return FetchTarget(c, target, 0, out Descriptor tss)
            && (Switch(c, target, tss, call ? Cause.Nested : Cause.Jump, nextRip, c->GetRflags(), 0, out bool entered) || (entered && Settle(c)));
    }

    /// <summary>An event through a task gate of the IDT; its error code goes to the new task's stack.</summary>
    public static bool Enter(VcpuContext* c, ushort selector, uint ext, ulong returnRip, ulong flags, bool hasError, uint errorCode)
    {
        if (!FetchTarget(c, selector, ext, out Descriptor tss) || !Switch(c, selector, tss, Cause.Nested, returnRip, flags, ext, out _))
            return false;
        if (!hasError)
            return true;
        ref CpuState state = ref c->State;
        StackFrame frame = new(c, state.Ss, state.Gpr[Gpr.RSP], 4, state.Cpl);
        frame.Push(errorCode);
        if (!frame.Store(ext))
            return false;
        state.Gpr[Gpr.RSP] = frame.Pointer;
        return true;
    }

    /// <summary>IRET with NT set: back to the task that the current TSS links to.</summary>
    public static bool Return(VcpuContext* c, ulong nextRip)
    {
        if (!LinearMemory.ReadSystem(c, c->State.Tr.Base + Link, out ushort selector))
            return false;
        uint error = Descriptors.ErrorCode(selector);
        if ((selector & 4) != 0 || Descriptors.IsNull(selector))
            return c->Raise(Vector.TS, error);
        if (!Descriptors.Fetch(c, selector, Vector.TS, 0, out Descriptor tss))
            return false;
        if (!tss.IsSystem || tss.Type != (Descriptor.Tss32 | Descriptor.Busy))
            return c->Raise(Vector.TS, error);
        if (!tss.Present)
            return c->Raise(Vector.NP, error);
        return Switch(c, selector, tss, Cause.Return, nextRip, c->GetRflags() & ~Rflags.NT, 0, out bool entered) || (entered && Settle(c));
    }

    /// <summary>The instruction is done, but the new task began with a fault: delivers it there, since its return address is not the instruction's.</summary>
    private static bool Settle(VcpuContext* c)
    {
        if (EventDelivery.Deliver(c, c->Fault) == DeliveryOutcome.Shutdown)
            Vcpu.Of(c).RequestExit(VcpuExit.Shutdown);
        return true;
    }

    private static bool FetchTarget(VcpuContext* c, ushort selector, uint ext, out Descriptor tss)
    {
        tss = default;
        uint error = Descriptors.ErrorCode(selector, ext);
        if ((selector & 4) != 0 || Descriptors.IsNull(selector))
            return c->Raise(Vector.GP, error);
        if (!Descriptors.Fetch(c, selector, Vector.GP, ext, out tss))
            return false;
        if (!tss.IsSystem || tss.Type != Descriptor.Tss32)
            return c->Raise(Vector.GP, error);
        return tss.Present || c->Raise(Vector.NP, error);
    }

    private static bool Switch(VcpuContext* c, ushort selector, Descriptor tss, Cause cause, ulong nextRip, ulong flags, uint ext, out bool entered)
    {
        entered = false;
        ref CpuState state = ref c->State;
        ulong outgoing = state.Tr.Base, incoming = tss.Base;
        ushort oldSelector = state.Tr.Selector;
        if (tss.Limit < Length - 1)
            return c->Raise(Vector.TS, Descriptors.ErrorCode(selector, ext));
        if (state.Tr.Limit < Length - 1 || (state.Tr.Attributes & 8) == 0)
            return c->Raise(Vector.TS, Descriptors.ErrorCode(oldSelector, ext));
        uint* image = stackalloc uint[Length / 4];
        if (!LinearMemory.ReadSystem(c, incoming, new Span<byte>(image, Length)) || !Save(c, outgoing, nextRip, flags))
            return false;
        if (cause == Cause.Nested)
        {
            if (!LinearMemory.WriteSystem(c, incoming + Link, oldSelector))
                return false;
        }
        else if (!Descriptors.MarkBusy(c, oldSelector, busy: false))
            return false;
        if (cause != Cause.Return && !Descriptors.MarkBusy(c, selector, busy: true))
            return false;

        entered = true;
        state.Tr = tss.ToSegment(selector);
        state.Tr.Attributes |= Descriptor.Busy;
        state.Cr0 |= Cr0.TS;
        if (state.Paging && state.Cr3 != image[Cr3 / 4])
        {
            state.Cr3 = image[Cr3 / 4];
            // Long mode, which PCIDs need, has no task switches.
            Vcpu.Of(c).Translations.FlushNonGlobal(0);
        }
        state.Rip = image[Eip / 4];
        ulong newFlags = image[9] & ~Rflags.VM;
        c->SetRflags(cause == Cause.Nested ? newFlags | Rflags.NT : newFlags);
        for (int i = 0; i < 8; i++)
            state.Gpr[i] = image[10 + i];
        state.Dr7 &= ~0x155ul;
        return LoadSegments(c, image + 18, (ushort)image[24], ext);
    }

    /// <summary>Writes the dynamic part of the outgoing task's TSS: EIP to GS.</summary>
    private static bool Save(VcpuContext* c, ulong tss, ulong nextRip, ulong flags)
    {
        ref CpuState state = ref c->State;
        uint* image = stackalloc uint[DynamicLength / 4];
        image[0] = (uint)nextRip;
        image[1] = (uint)flags;
        for (int i = 0; i < 8; i++)
            image[2 + i] = (uint)state.Gpr[i];
        for (int i = 0; i < 6; i++)
            image[10 + i] = Segments.Get(c, i).Selector;
        return LinearMemory.WriteSystem(c, tss + FirstDynamic, *(Vector512<byte>*)image);
    }

    /// <summary>Loads LDTR and the segment registers of the new task; what does not load is #TS, #NP or #SS in it.</summary>
    private static bool LoadSegments(VcpuContext* c, uint* selectors, ushort ldt, uint ext)
    {
        ref CpuState state = ref c->State;
        ushort codeSelector = (ushort)selectors[SegmentIndex.Cs];
        int level = codeSelector & 3;
        // Until each is loaded a register holds its selector and nothing else; the CPL is already the new one.
        for (int i = 0; i < 6; i++)
            Segments.Get(c, i) = new Segment { Selector = (ushort)selectors[i] };
        state.Ss = Segments.NullStack((ushort)selectors[SegmentIndex.Ss], level);
        state.Ldtr = new Segment { Selector = ldt };
        if (!Descriptors.IsNull(ldt) && !LoadLdt(c, ldt, ext))
            return false;
        if (Descriptors.IsNull(codeSelector))
            return c->Raise(Vector.TS, ext);
        if (!Descriptors.Fetch(c, codeSelector, Vector.TS, ext, out Descriptor code))
            return false;
        if (!code.IsCode || (code.IsConforming ? code.Dpl > level : code.Dpl != level))
            return c->Raise(Vector.TS, Descriptors.ErrorCode(codeSelector, ext));
        if (!code.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(codeSelector, ext));
        ushort stackSelector = (ushort)selectors[SegmentIndex.Ss];
        if (Descriptors.IsNull(stackSelector))
            return c->Raise(Vector.TS, ext);
        if (!Segments.FetchStack(c, stackSelector, level, Vector.TS, Vector.SS, ext, out Descriptor stack)
            || !Descriptors.MarkAccessed(c, codeSelector, code))
            return false;
        state.Ss = stack.ToSegment(stackSelector);
        state.Cs = code.ToSegment(codeSelector);
        for (int i = 0; i < 6; i++)
        {
            ushort selector = (ushort)selectors[i];
            if (i is SegmentIndex.Cs or SegmentIndex.Ss || Descriptors.IsNull(selector))
                continue;
            if (!Segments.FetchData(c, selector, level, Vector.TS, out Descriptor data))
                return false;
            Segments.Get(c, i) = data.ToSegment(selector);
        }
        return state.Rip <= state.Cs.Limit || c->Raise(Vector.GP, ext);
    }

    private static bool LoadLdt(VcpuContext* c, ushort selector, uint ext)
    {
        uint error = Descriptors.ErrorCode(selector, ext);
        if ((selector & 4) != 0)
            return c->Raise(Vector.TS, error);
        if (!Descriptors.Fetch(c, selector, Vector.TS, ext, out Descriptor descriptor))
            return false;
        if (!descriptor.IsSystem || descriptor.Type != Descriptor.Ldt || !descriptor.Present)
            return c->Raise(Vector.TS, error);
        c->State.Ldtr = descriptor.ToSegment(selector);
        return true;
    }
}
