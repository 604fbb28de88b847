namespace Godwit.Engine.Cpu;

/// <summary>
/// LLDT, LTR, LGDT, LIDT, and the instructions that ask about selectors: LAR, LSL, VERR, VERW, ARPL (Intel SDM 2A, 2B).
/// Privilege and mode (#UD in real mode) are the caller's to check.
/// </summary>
public static unsafe class DescriptorRegisters
{
    public static bool LoadLdt(VcpuContext* c, ushort selector)
    {
        if (Descriptors.IsNull(selector))
        {
            c->State.Ldtr = new Segment { Selector = selector };
            return true;
        }
        if (!FetchSystem(c, selector, out Descriptor descriptor, out ulong @base))
            return false;
        if (!descriptor.IsSystem || descriptor.Type != Descriptor.Ldt)
            return c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
        if (!descriptor.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(selector));
        Segment segment = descriptor.ToSegment(selector);
        segment.Base = @base;
        c->State.Ldtr = segment;
        return true;
    }

    public static bool LoadTask(VcpuContext* c, ushort selector)
    {
        if (Descriptors.IsNull(selector))
            return c->Raise(Vector.GP, 0);
        if (!FetchSystem(c, selector, out Descriptor descriptor, out ulong @base))
            return false;
        bool available = descriptor.Type == Descriptor.Tss32 || (descriptor.Type == Descriptor.Tss16 && !c->State.LongMode);
        if (!descriptor.IsSystem || !available)
            return c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
        if (!descriptor.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(selector));
        if (!Descriptors.MarkBusy(c, selector, busy: true))
            return false;
        Segment segment = descriptor.ToSegment(selector);
        segment.Base = @base;
        segment.Attributes |= Descriptor.Busy;
        c->State.Tr = segment;
        return true;
    }

    /// <summary>LGDT and LIDT from a pseudo-descriptor already read. In 64-bit mode the base must be canonical.</summary>
    public static bool LoadTable(VcpuContext* c, ref DescriptorTable table, ushort limit, ulong @base)
    {
        if (c->State.Mode64 && !Paging.IsCanonical(@base))
            return c->Raise(Vector.GP, 0);
        table.Base = @base;
        table.Limit = limit;
        return true;
    }

    /// <summary>Fetches an LDT or TSS descriptor of the GDT; in IA-32e mode with the base's upper half.</summary>
    private static bool FetchSystem(VcpuContext* c, ushort selector, out Descriptor descriptor, out ulong @base)
    {
        descriptor = default;
        @base = 0;
        if ((selector & 4) != 0)
            return c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
        if (!Descriptors.Fetch(c, selector, Vector.GP, 0, out descriptor))
            return false;
        @base = descriptor.Base;
        if (!c->State.LongMode)
            return true;
        if (!Descriptors.FetchUpper(c, selector, Vector.GP, out ulong upper))
            return false;
        @base |= upper << 32;
        return (((upper >> 40) & 0x1f) == 0 && Paging.IsCanonical(@base)) || c->Raise(Vector.GP, Descriptors.ErrorCode(selector));
    }

    /// <summary>LAR. Valid: ZF, and the descriptor's second dword under 0x00f0ff00 (the row cuts it). False only for a page fault.</summary>
    public static bool AccessRights(VcpuContext* c, ushort selector, out bool valid, out uint rights)
    {
        rights = 0;
        if (!Look(c, selector, out valid, out Descriptor descriptor) || !valid)
            return !valid && c->Fault.Vector == Fault.None;
        bool longMode = c->State.LongMode;
        if (descriptor.IsSystem)
            valid = longMode
                ? descriptor.Type is Descriptor.Ldt or Descriptor.Tss32 or (Descriptor.Tss32 | Descriptor.Busy) or Descriptor.CallGate32
                : descriptor.Type is not (0 or 6 or 7 or 8 or 10 or 13 or 14 or 15);
        valid = valid && Visible(c, selector, descriptor);
        rights = (uint)(descriptor.Raw >> 32) & 0x00ff_ff00;
        return true;
    }

    /// <summary>LSL. Valid: ZF, and the limit in bytes. False only for a page fault.</summary>
    public static bool SegmentLimit(VcpuContext* c, ushort selector, out bool valid, out uint limit)
    {
        limit = 0;
        if (!Look(c, selector, out valid, out Descriptor descriptor) || !valid)
            return !valid && c->Fault.Vector == Fault.None;
        if (descriptor.IsSystem)
            valid = descriptor.Type is Descriptor.Ldt or Descriptor.Tss32 or (Descriptor.Tss32 | Descriptor.Busy)
                || (!c->State.LongMode && descriptor.Type is Descriptor.Tss16 or (Descriptor.Tss16 | Descriptor.Busy));
        valid = valid && Visible(c, selector, descriptor);
        limit = descriptor.Limit;
        return true;
    }

    /// <summary>VERR and VERW. False only for a page fault.</summary>
    public static bool Verify(VcpuContext* c, ushort selector, bool write, out bool valid)
    {
        if (!Look(c, selector, out valid, out Descriptor descriptor) || !valid)
            return !valid && c->Fault.Vector == Fault.None;
        valid = !descriptor.IsSystem
            && (write ? descriptor.IsWritableData : !descriptor.IsCode || descriptor.IsReadableCode)
            && Visible(c, selector, descriptor);
        return true;
    }

    /// <summary>Fetches a descriptor; one that does not exist is not valid, and no fault.</summary>
    private static bool Look(VcpuContext* c, ushort selector, out bool valid, out Descriptor descriptor)
    {
        descriptor = default;
        valid = !Descriptors.IsNull(selector) && Descriptors.Locate(c, selector, sizeof(ulong), out _);
        if (!valid)
            return false;
        if (Descriptors.Fetch(c, selector, Vector.GP, 0, out descriptor))
            return true;
        valid = false;
        return false;
    }

    private static bool Visible(VcpuContext* c, ushort selector, Descriptor descriptor)
    {
        if (descriptor is { IsSystem: false, IsCode: true, IsConforming: true })
            return true;
        return Math.Max(c->State.Cpl, selector & 3) <= descriptor.Dpl;
    }
}
