using System.Runtime.CompilerServices;

namespace Godwit.Engine.Cpu;

/// <summary>Indices of the segment registers, as instructions encode them.</summary>
public static class SegmentIndex
{
    public const int Es = 0, Cs = 1, Ss = 2, Ds = 3, Fs = 4, Gs = 5;
}

/// <summary>Loads of segment registers (Intel SDM 2B, MOV; 3A, 5.5 to 5.7).</summary>
public static unsafe class Segments
{
    /// <summary>Attributes of a real-mode segment: present, writable data, accessed.</summary>
    internal const ushort RealModeData = Segment.P | Segment.S | Segment.Writable | Segment.Accessed;

    /// <summary>The register of an index 0 to 5.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ref Segment Get(VcpuContext* c, int index) => ref Unsafe.Add(ref c->State.Es, index);

    /// <summary>
    /// Loads ES, SS, DS, FS or GS with all checks; sets the descriptor's accessed bit. The caller refuses CS (#UD) and
    /// sets the interrupt shadow after SS.
    /// </summary>
    public static bool Load(VcpuContext* c, int index, ushort selector)
    {
        ref Segment register = ref Get(c, index);
        if (!c->State.ProtectedMode)
        {
            register.Selector = selector;
            register.Base = (ulong)selector << 4;
            return true;
        }
        return index == SegmentIndex.Ss ? LoadStack(c, selector) : LoadData(c, ref register, selector);
    }

    private static bool LoadStack(VcpuContext* c, ushort selector)
    {
        int cpl = c->State.Cpl;
        if (Descriptors.IsNull(selector))
        {
            if (!c->State.Mode64 || cpl == 3 || (selector & 3) != cpl)
                return c->Raise(Vector.GP, 0);
            c->State.Ss = NullStack(selector, cpl);
            return true;
        }
        if (!FetchStack(c, selector, cpl, Vector.GP, Vector.SS, 0, out Descriptor descriptor))
            return false;
        c->State.Ss = descriptor.ToSegment(selector);
        return true;
    }

    /// <summary>A null SS of 64-bit mode. Its DPL still is the CPL.</summary>
    internal static Segment NullStack(ushort selector, int cpl) => new() { Selector = selector, Attributes = (ushort)(cpl << 5) };

    /// <summary>Fetches and checks a stack segment's descriptor for a privilege level, and marks it accessed.</summary>
    internal static bool FetchStack(VcpuContext* c, ushort selector, int cpl, Vector wrong, Vector absent, uint ext, out Descriptor descriptor)
    {
        if (!Descriptors.Fetch(c, selector, wrong, ext, out descriptor))
            return false;
        if ((selector & 3) != cpl || descriptor.Dpl != cpl || !descriptor.IsWritableData)
            return c->Raise(wrong, Descriptors.ErrorCode(selector, ext));
        if (!descriptor.Present)
            return c->Raise(absent, Descriptors.ErrorCode(selector, ext));
        return Descriptors.MarkAccessed(c, selector, descriptor);
    }

    private static bool LoadData(VcpuContext* c, ref Segment register, ushort selector)
    {
        if (Descriptors.IsNull(selector))
        {
            register = new Segment { Selector = selector };
            return true;
        }
        if (!FetchData(c, selector, c->State.Cpl, Vector.GP, out Descriptor descriptor))
            return false;
        register = descriptor.ToSegment(selector);
        return true;
    }

    /// <summary>Fetches and checks a data segment's descriptor, and marks it accessed. <paramref name="wrong"/> is #GP, or #TS in a task switch.</summary>
    internal static bool FetchData(VcpuContext* c, ushort selector, int cpl, Vector wrong, out Descriptor descriptor)
    {
        if (!Descriptors.Fetch(c, selector, wrong, 0, out descriptor))
            return false;
        bool usable = !descriptor.IsSystem && (!descriptor.IsCode || descriptor.IsReadableCode);
        bool conforming = descriptor.IsCode && descriptor.IsConforming;
        if (!usable || (!conforming && Math.Max(cpl, selector & 3) > descriptor.Dpl))
            return c->Raise(wrong, Descriptors.ErrorCode(selector));
        if (!descriptor.Present)
            return c->Raise(Vector.NP, Descriptors.ErrorCode(selector));
        return Descriptors.MarkAccessed(c, selector, descriptor);
    }

    /// <summary>After a return to an outer level: data segments that it may not use become null (SDM 2A, IRET).</summary>
    internal static void DropInner(VcpuContext* c, int cpl)
    {
        DropInner(ref c->State.Es, cpl);
        DropInner(ref c->State.Ds, cpl);
        DropInner(ref c->State.Fs, cpl);
        DropInner(ref c->State.Gs, cpl);
    }

    private static void DropInner(ref Segment register, int cpl)
    {
        // A null register keeps its base: FS and GS bases set by MSR survive a return to user mode.
        if ((register.Attributes & Segment.P) == 0)
            return;
        bool conforming = (register.Attributes & (Segment.Code | Segment.Expand)) == (Segment.Code | Segment.Expand);
        if (!conforming && ((register.Attributes >> 5) & 3) < cpl)
            register = default;
    }

    /// <summary>Whether bytes of a segment outside of 64-bit mode are within its limit.</summary>
    public static bool Fits(in Segment segment, uint offset, uint length)
    {
        ulong last = (ulong)offset + length - 1;
        if ((segment.Attributes & (Segment.Code | Segment.Expand)) == Segment.Expand)
            return offset > segment.Limit && last <= ((segment.Attributes & Segment.DB) != 0 ? uint.MaxValue : ushort.MaxValue);
        return last <= segment.Limit;
    }

    /// <summary>A flat segment as SYSCALL, SYSENTER and their returns make it.</summary>
    internal static Segment Flat(ushort selector, ushort attributes) => new()
    {
        Limit = uint.MaxValue,
        Selector = selector,
        Attributes = (ushort)(attributes | Segment.G | Segment.P | Segment.S | Segment.Accessed | Segment.Writable),
    };
}
