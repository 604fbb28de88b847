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
        if (!Find(c, linear, destination.Length, PageAccess.Read, user ? Rights.User : Rights.Supervisor, out Place place))
            return false;
        place.Read(Vcpu.Of(c), destination);
        return true;
    }

    /// <summary>Writes at most a page of bytes; both pages of a crossing are checked before anything is stored.</summary>
    public static bool Write(VcpuContext* c, ulong linear, bool user, ReadOnlySpan<byte> source)
    {
        if (!Find(c, linear, source.Length, PageAccess.Write, user ? Rights.User : Rights.Supervisor, out Place place))
            return false;
        place.Write(Vcpu.Of(c), source);
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
        if (!Find(c, linear, source.Length, PageAccess.Write, Rights.System, out Place place))
            return false;
        place.Write(Vcpu.Of(c), source);
        return true;
    }

    /// <summary>Reads at most a page of a system structure.</summary>
    public static bool ReadSystem(VcpuContext* c, ulong linear, Span<byte> destination)
    {
        if (!Find(c, linear, destination.Length, PageAccess.Read, Rights.System, out Place place))
            return false;
        place.Read(Vcpu.Of(c), destination);
        return true;
    }

    // Both pages are translated before anything is touched: a fault on the second leaves nothing half done.
    private static bool Find(VcpuContext* c, ulong linear, int length, PageAccess access, Rights rights, out Place place)
    {
        int head = (int)Math.Min((ulong)length, PageNumber.Size - (linear & OffsetMask));
        place = default;
        if (!Translate(c, linear, access, rights, out PageTranslation first))
            return false;
        PageTranslation second = default;
        if (head < length && !Translate(c, linear + (ulong)head, access, rights, out second))
            return false;
        place = new Place(first.Physical, second.Physical, head);
        return true;
    }

    private static bool Translate(VcpuContext* c, ulong linear, PageAccess access, Rights rights, out PageTranslation translation) =>
        rights == Rights.System
            ? Paging.TranslateSystem(c, linear, access, out translation)
            : Paging.Translate(c, linear, access, rights == Rights.User, out translation);

    private enum Rights
    {
        Supervisor,
        User,
        System,
    }

    /// <param name="First">Where the first bytes are.</param>
    /// <param name="Second">Where those behind the page's end are.</param>
    /// <param name="Head">How many lie in the first page.</param>
    private readonly record struct Place(ulong First, ulong Second, int Head)
    {
        public void Read(Vcpu vcpu, Span<byte> destination)
        {
            PhysicalMemory.Read(vcpu, First, destination[..Head]);
            if (Head < destination.Length)
                PhysicalMemory.Read(vcpu, Second, destination[Head..]);
        }

        public void Write(Vcpu vcpu, ReadOnlySpan<byte> source)
        {
            PhysicalMemory.Write(vcpu, First, source[..Head]);
            if (Head < source.Length)
                PhysicalMemory.Write(vcpu, Second, source[Head..]);
        }
    }
}
