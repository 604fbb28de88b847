namespace Godwit.Engine.Cpu;

/// <summary>Descriptor tables in guest memory.</summary>
internal static unsafe class Descriptors
{
    /// <summary>The error code that names a selector; bit 0 is EXT.</summary>
    public static uint ErrorCode(ushort selector, uint ext = 0) => (selector & 0xfffcu) | ext;

    public static bool IsNull(ushort selector) => (selector & 0xfffc) == 0;

    /// <summary>Reads a descriptor of the GDT or LDT. Beyond the table's limit: the given fault with the selector.</summary>
    public static bool Fetch(VcpuContext* c, ushort selector, Vector fault, uint ext, out Descriptor descriptor)
    {
        descriptor = default;
        if (!Locate(c, selector, sizeof(ulong), out ulong address))
            return c->Raise(fault, ErrorCode(selector, ext));
        if (!LinearMemory.ReadSystem(c, address, out ulong raw))
            return false;
        descriptor = new Descriptor(raw);
        return true;
    }

    /// <summary>Reads the upper half of a 16-byte system descriptor of IA-32e mode.</summary>
    public static bool FetchUpper(VcpuContext* c, ushort selector, Vector fault, out ulong upper)
    {
        upper = 0;
        if (!Locate(c, selector, 2 * sizeof(ulong), out ulong address))
            return c->Raise(fault, ErrorCode(selector));
        return LinearMemory.ReadSystem(c, address + sizeof(ulong), out upper);
    }

    /// <summary>The descriptor's linear address; false where its bytes are not within the table.</summary>
    public static bool Locate(VcpuContext* c, ushort selector, int bytes, out ulong address)
    {
        uint offset = selector & 0xfff8u;
        address = 0;
        if ((selector & 4) == 0)
        {
            if (offset + (uint)bytes - 1 > c->State.Gdtr.Limit)
                return false;
            address = c->State.Gdtr.Base + offset;
            return true;
        }
        ref Segment ldt = ref c->State.Ldtr;
        if ((ldt.Attributes & Segment.P) == 0 || offset + (uint)bytes - 1 > ldt.Limit)
            return false;
        address = ldt.Base + offset;
        return true;
    }

    /// <summary>Sets the accessed bit of a code or data descriptor in its table.</summary>
    public static bool MarkAccessed(VcpuContext* c, ushort selector, Descriptor descriptor)
    {
        if (descriptor.IsAccessed || !Locate(c, selector, sizeof(ulong), out ulong address))
            return true;
        return LinearMemory.WriteSystem(c, address + 5, (byte)((descriptor.Raw >> 40) | Segment.Accessed));
    }

    /// <summary>Sets or clears the busy bit of a TSS descriptor in the GDT.</summary>
    public static bool MarkBusy(VcpuContext* c, ushort selector, bool busy)
    {
        if (!Locate(c, selector, sizeof(ulong), out ulong address))
            return true;
        if (!LinearMemory.ReadSystem(c, address + 5, out byte access))
            return false;
        return LinearMemory.WriteSystem(c, address + 5, (byte)(busy ? access | Descriptor.Busy : access & ~Descriptor.Busy));
    }
}
