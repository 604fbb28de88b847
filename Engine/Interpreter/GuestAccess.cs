using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>One entry of the software TLB. A tag is the page's linear address; an invalid one belongs to a page that has another entry, so that no address that comes here differs from it within the page only.</summary>
[StructLayout(LayoutKind.Sequential, Size = 32)]
public unsafe struct TlbEntry
{
    public const int Count = 4096;

    public ulong ReadTag;
    public ulong WriteTag;

    /// <summary>Host address = linear address + addend.</summary>
    public ulong Addend;

    /// <summary>Host address of the page.</summary>
    public ulong Host;

    /// <summary>The tag that never matches in the entry of an index: neither that of an access that starts there, nor that of the page after it.</summary>
    public static ulong Invalid(int index) => (ulong)(index ^ Count / 2) << 12;
}

/// <summary>
/// How instructions reach memory: the software TLB when it hits, paging, MMIO and page crossing when it does not.
/// False means that a fault is recorded in the context; nothing has been stored then.
/// </summary>
public static unsafe partial class GuestAccess
{
    /// <summary>The linear address of an op's memory operand: base + index * scale + displacement, cut to the address size, plus the segment's base.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Address(VcpuContext* c, Op* op) => Address(c, op, 0);

    /// <summary>The same with something more added to the offset, before it is cut.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Address(VcpuContext* c, Op* op, ulong more)
    {
        byte* context = (byte*)c;
        ulong offset = *(ulong*)(context + op->Base) + (*(ulong*)(context + op->Index) << op->Scale) + op->Displacement + more;
        if (op->AddressSize != 8)
            offset = op->AddressSize == 4 ? (uint)offset : (ushort)offset;
        return offset + *(ulong*)(context + op->SegmentBase);
    }

    /// <summary>Reads a value of 1 to 32 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Load<T>(VcpuContext* c, ulong address, out T value)
        where T : unmanaged
    {
        TlbEntry* entry = (TlbEntry*)c->Tlb + ((address >> 12) & (TlbEntry.Count - 1));
        if (entry->ReadTag == ((address + (ulong)sizeof(T) - 1) & ~0xffful))
        {
            value = Unsafe.ReadUnaligned<T>((void*)(address + entry->Addend));
            return true;
        }
        return LoadSlow(c, address, out value);
    }

    /// <summary>Writes a value of 1 to 32 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Store<T>(VcpuContext* c, ulong address, T value)
        where T : unmanaged
    {
        TlbEntry* entry = (TlbEntry*)c->Tlb + ((address >> 12) & (TlbEntry.Count - 1));
        if (entry->WriteTag == ((address + (ulong)sizeof(T) - 1) & ~0xffful))
        {
            Unsafe.WriteUnaligned((void*)(address + entry->Addend), value);
            return true;
        }
        return StoreSlow(c, address, value);
    }

    /// <summary>The load of a read-modify-write: faults as a store does, so that the store that follows cannot.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool LoadForWrite<T>(VcpuContext* c, ulong address, out T value)
        where T : unmanaged
    {
        TlbEntry* entry = (TlbEntry*)c->Tlb + ((address >> 12) & (TlbEntry.Count - 1));
        if (entry->WriteTag == ((address + (ulong)sizeof(T) - 1) & ~0xffful))
        {
            value = Unsafe.ReadUnaligned<T>((void*)(address + entry->Addend));
            return true;
        }
        return LoadForWriteSlow(c, address, out value);
    }

    /// <summary>
    /// The host address of memory that may be written and lies in one page of RAM, for a locked instruction. Null where
    /// there is none: not a fault, but the instruction then goes through <see cref="LoadForWrite"/> and <see cref="Store"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void* WritePointer(VcpuContext* c, ulong address, int size)
    {
        TlbEntry* entry = (TlbEntry*)c->Tlb + ((address >> 12) & (TlbEntry.Count - 1));
        if (entry->WriteTag == ((address + (ulong)size - 1) & ~0xffful))
            return (void*)(address + entry->Addend);
        return null;
    }

    /// <summary>The host address of memory that may be read and lies in one page of RAM, or null.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void* ReadPointer(VcpuContext* c, ulong address, int size)
    {
        TlbEntry* entry = (TlbEntry*)c->Tlb + ((address >> 12) & (TlbEntry.Count - 1));
        if (entry->ReadTag == ((address + (ulong)size - 1) & ~0xffful))
            return (void*)(address + entry->Addend);
        return null;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool LoadSlow<T>(VcpuContext* c, ulong address, out T value)
        where T : unmanaged
    {
        T loaded = default;
        bool done = SoftwareTlb.Of(c).Read(address, (byte*)&loaded, sizeof(T));
        value = loaded;
        return done;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool LoadForWriteSlow<T>(VcpuContext* c, ulong address, out T value)
        where T : unmanaged
    {
        T loaded = default;
        bool done = SoftwareTlb.Of(c).ReadForWrite(address, (byte*)&loaded, sizeof(T));
        value = loaded;
        return done;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool StoreSlow<T>(VcpuContext* c, ulong address, T value)
        where T : unmanaged => SoftwareTlb.Of(c).Write(address, (byte*)&value, sizeof(T));
}
