namespace Godwit.Engine.Cpu;

/// <summary>Reads of the current task-state segment (Intel SDM 3A, 7.2 and 7.7).</summary>
internal static unsafe class TaskState
{
    /// <summary>Offsets in the 64-bit TSS.</summary>
    public const int Rsp0 = 4, Ist1 = 0x24;

    /// <summary>Offset of the I/O map base in the 32-bit and 64-bit TSS.</summary>
    public const int IoMapBase = 0x66;

    private static bool IsWide(in Segment tr) => (tr.Attributes & 8) != 0;

    /// <summary>A stack pointer of the 64-bit TSS. Beyond its limit: #TS; not canonical: #SS.</summary>
    public static bool ReadStack64(VcpuContext* c, int offset, uint ext, out ulong stack)
    {
        ref Segment tr = ref c->State.Tr;
        stack = 0;
        if ((uint)offset + 7 > tr.Limit)
            return c->Raise(Vector.TS, Descriptors.ErrorCode(tr.Selector, ext));
        if (!LinearMemory.ReadSystem(c, tr.Base + (uint)offset, out stack))
            return false;
        return Paging.IsCanonical(stack) || c->Raise(Vector.SS, ext);
    }

    /// <summary>The stack segment and pointer of a privilege level 0 to 2 from a 32-bit or 16-bit TSS, checked.</summary>
    public static bool ReadStack32(VcpuContext* c, int level, uint ext, out Segment stack, out ulong pointer)
    {
        ref Segment tr = ref c->State.Tr;
        stack = default;
        pointer = 0;
        bool wide = IsWide(tr);
        uint offset = wide ? (uint)level * 8 + 4 : (uint)level * 4 + 2;
        if (offset + (wide ? 7u : 3u) > tr.Limit)
            return c->Raise(Vector.TS, Descriptors.ErrorCode(tr.Selector, ext));
        if (!LinearMemory.ReadSystem(c, tr.Base + offset, out ulong both))
            return false;
        pointer = wide ? (uint)both : (ushort)both;
        ushort selector = (ushort)(wide ? both >> 32 : both >> 16);
        if (Descriptors.IsNull(selector))
            return c->Raise(Vector.TS, ext);
        if (!Segments.FetchStack(c, selector, level, Vector.TS, Vector.SS, ext, out Descriptor descriptor))
            return false;
        stack = descriptor.ToSegment(selector);
        return true;
    }

    /// <summary>Whether the I/O permission map lets CPL above IOPL use ports. False: not allowed (#GP(0) recorded), or a page fault.</summary>
    public static bool PortAllowed(VcpuContext* c, ushort port, int size)
    {
        ref Segment tr = ref c->State.Tr;
        if ((tr.Attributes & Segment.P) == 0 || !IsWide(tr) || tr.Limit < IoMapBase + 1)
            return c->Raise(Vector.GP, 0);
        if (!LinearMemory.ReadSystem(c, tr.Base + IoMapBase, out ushort map))
            return false;
        // The processor reads two bytes, so that an access that straddles a byte's bits is covered (SDM 1, 19.5.2).
        uint offset = map + ((uint)port >> 3);
        if (offset + 1 > tr.Limit)
            return c->Raise(Vector.GP, 0);
        if (!LinearMemory.ReadSystem(c, tr.Base + offset, out ushort bits))
            return false;
        uint mask = ((1u << size) - 1) << (port & 7);
        return (bits & mask) == 0 || c->Raise(Vector.GP, 0);
    }
}
