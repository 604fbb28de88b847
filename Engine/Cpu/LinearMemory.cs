using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Cpu;

/// <summary>
/// Reads and writes linear addresses without any cache: paging, page crossing, RAM or device. False means that a fault
/// is recorded in the context and nothing has been stored. "System" forms are for descriptor tables and task state.
/// </summary>
public static unsafe class LinearMemory
{
    private const ulong OffsetMask = PageNumber.Size - 1;

    /// <summary>Reads a value of 1 to 64 bytes; a value within one page of RAM is read in one piece where the host does so.</summary>
    public static bool Read<T>(VcpuContext* c, ulong linear, bool user, out T value)
        where T : unmanaged
    {
        Unsafe.SkipInit(out value);
        if ((linear & OffsetMask) + (ulong)sizeof(T) > PageNumber.Size)
            return Read(c, linear, user, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        if (!Paging.Translate(c, linear, PageAccess.Read, user, out PageTranslation translation))
            return false;
        value = PhysicalMemory.Read<T>(Vcpu.Of(c), translation.Physical);
        return true;
    }

    /// <summary>Writes a value of 1 to 64 bytes.</summary>
    public static bool Write<T>(VcpuContext* c, ulong linear, bool user, T value)
        where T : unmanaged
    {
        if ((linear & OffsetMask) + (ulong)sizeof(T) > PageNumber.Size)
            return Write(c, linear, user, MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)));
        if (!Paging.Translate(c, linear, PageAccess.Write, user, out PageTranslation translation))
            return false;
        PhysicalMemory.Write(Vcpu.Of(c), translation.Physical, value);
        return true;
    }

    /// <summary>Reads at most a page of bytes.</summary>
    public static bool Read(VcpuContext* c, ulong linear, bool user, Span<byte> destination)
    {
        int head = Head(linear, destination.Length);
        if (!Paging.Translate(c, linear, PageAccess.Read, user, out PageTranslation first))
            return false;
        PageTranslation second = default;
        if (head < destination.Length && !Paging.Translate(c, linear + (ulong)head, PageAccess.Read, user, out second))
            return false;
        Vcpu vcpu = Vcpu.Of(c);
        PhysicalMemory.Read(vcpu, first.Physical, destination[..head]);
        if (head < destination.Length)
            PhysicalMemory.Read(vcpu, second.Physical, destination[head..]);
        return true;
    }

    /// <summary>Writes at most a page of bytes; both pages of a crossing are checked before anything is stored.</summary>
    public static bool Write(VcpuContext* c, ulong linear, bool user, ReadOnlySpan<byte> source)
    {
        int head = Head(linear, source.Length);
        if (!Paging.Translate(c, linear, PageAccess.Write, user, out PageTranslation first))
            return false;
        PageTranslation second = default;
        if (head < source.Length && !Paging.Translate(c, linear + (ulong)head, PageAccess.Write, user, out second))
            return false;
        Vcpu vcpu = Vcpu.Of(c);
        PhysicalMemory.Write(vcpu, first.Physical, source[..head]);
        if (head < source.Length)
            PhysicalMemory.Write(vcpu, second.Physical, source[head..]);
        return true;
    }

    /// <summary>Reads a value of a system structure, with supervisor rights whatever the CPL.</summary>
    public static bool ReadSystem<T>(VcpuContext* c, ulong linear, out T value)
        where T : unmanaged
    {
        Unsafe.SkipInit(out value);
        if ((linear & OffsetMask) + (ulong)sizeof(T) > PageNumber.Size)
            return ReadSystem(c, linear, MemoryMarshal.AsBytes(new Span<T>(ref value)));
        if (!Paging.TranslateSystem(c, linear, PageAccess.Read, out PageTranslation translation))
            return false;
        value = PhysicalMemory.Read<T>(Vcpu.Of(c), translation.Physical);
        return true;
    }

    /// <summary>Writes a value of a system structure, with supervisor rights whatever the CPL.</summary>
    public static bool WriteSystem<T>(VcpuContext* c, ulong linear, T value)
        where T : unmanaged
    {
        ReadOnlySpan<byte> source = MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value));
        int head = Head(linear, source.Length);
        if (!Paging.TranslateSystem(c, linear, PageAccess.Write, out PageTranslation first))
            return false;
        PageTranslation second = default;
        if (head < source.Length && !Paging.TranslateSystem(c, linear + (ulong)head, PageAccess.Write, out second))
            return false;
        Vcpu vcpu = Vcpu.Of(c);
        PhysicalMemory.Write(vcpu, first.Physical, source[..head]);
        if (head < source.Length)
            PhysicalMemory.Write(vcpu, second.Physical, source[head..]);
        return true;
    }

    /// <summary>Reads at most a page of a system structure.</summary>
    public static bool ReadSystem(VcpuContext* c, ulong linear, Span<byte> destination)
    {
        int head = Head(linear, destination.Length);
        if (!Paging.TranslateSystem(c, linear, PageAccess.Read, out PageTranslation first))
            return false;
        PageTranslation second = default;
        if (head < destination.Length && !Paging.TranslateSystem(c, linear + (ulong)head, PageAccess.Read, out second))
            return false;
        Vcpu vcpu = Vcpu.Of(c);
        PhysicalMemory.Read(vcpu, first.Physical, destination[..head]);
        if (head < destination.Length)
            PhysicalMemory.Read(vcpu, second.Physical, destination[head..]);
        return true;
    }

    private static int Head(ulong linear, int length) => (int)Math.Min((ulong)length, PageNumber.Size - (linear & OffsetMask));
}
