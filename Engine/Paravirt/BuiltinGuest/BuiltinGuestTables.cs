using System.Buffers.Binary;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt.BuiltinGuest;

/// <summary>The tables that the CPU reads, made beforehand: pages, segments, task state, interrupts (Intel SDM volume 3, chapters 3 to 8).</summary>
internal static class BuiltinGuestTables
{
    public const ushort CodeSelector = 0x08;
    public const ushort DataSelector = 0x10;
    public const ushort TaskSelector = 0x18;

    /// <summary>Bytes of the GDT: null, code, data and a 16-byte task descriptor.</summary>
    public const int GdtBytes = 40;

    /// <summary>Offset of the task state in its page.</summary>
    public const int TaskStateOffset = 0x80;

    public const int TaskStateBytes = 104;

    /// <summary>Offset of the GDT's pseudo-descriptor (limit, base).</summary>
    public const int GdtPointerOffset = 0x100;

    public const int IdtPointerOffset = 0x110;

    public const int IdtBytes = 256 * GateBytes;

    private const int GateBytes = 16;
    private const ulong FourGiB = 1ul << 32;
    private const ulong LargePage = 1 << 21;
    private const ulong Present = 1, Writable = 2, CacheDisable = 1 << 4, Accessed = 1 << 5, Dirty = 1 << 6, Large = 1 << 7;

    /// <summary>Bytes of the page tables that map RAM, and all below 4 GiB for the local APIC.</summary>
    public static ulong PageTableBytes(ulong ramBytes) => (2 + Directories(ramBytes)) * PageNumber.Size;

    /// <summary>Writes page tables with the root at their first page: the identity, in 2 MiB pages.</summary>
    public static void WritePageTables(Span<byte> tables, ulong address, ulong ramBytes)
    {
        const ulong table = Present | Writable | Accessed;
        Entry(tables, 0, 0, address + PageNumber.Size | table);
        ulong directories = Directories(ramBytes);
        for (ulong i = 0; i < directories; i++)
            Entry(tables, 1, (int)i, address + (2 + i) * PageNumber.Size | table);
        ulong mapped = directories << 30;
        for (ulong at = 0; at < mapped; at += LargePage)
        {
            ulong flags = table | Dirty | Large;
            // Device addresses lie between the end of RAM and 4 GiB.
            if (at >= ramBytes && at < FourGiB)
                flags |= CacheDisable;
            Entry(tables, (int)(2 + (at >> 30)), (int)(at >> 21 & 511), at | flags);
        }
    }

    /// <summary>Writes GDT, task state and both pseudo-descriptors into their page.</summary>
    public static void WriteDescriptors(Span<byte> page, ulong address, ulong idt, ulong faultStack)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(page[CodeSelector..], BootDescriptors.Code64);
        BinaryPrimitives.WriteUInt64LittleEndian(page[DataSelector..], BootDescriptors.Data);
        ulong task = address + TaskStateOffset;
        BinaryPrimitives.WriteUInt64LittleEndian(
            page[TaskSelector..],
            TaskStateBytes - 1 | (task & 0xff_ffff) << 16 | 0x89ul << 40 | (task >> 24 & 0xff) << 56);
        BinaryPrimitives.WriteUInt64LittleEndian(page[(TaskSelector + 8)..], task >> 32);

        Span<byte> state = page.Slice(TaskStateOffset, TaskStateBytes);
        BinaryPrimitives.WriteUInt64LittleEndian(state[36..], faultStack); // IST1
        BinaryPrimitives.WriteUInt16LittleEndian(state[102..], TaskStateBytes); // no I/O bitmap

        BinaryPrimitives.WriteUInt16LittleEndian(page[GdtPointerOffset..], GdtBytes - 1);
        BinaryPrimitives.WriteUInt64LittleEndian(page[(GdtPointerOffset + 2)..], address);
        BinaryPrimitives.WriteUInt16LittleEndian(page[IdtPointerOffset..], IdtBytes - 1);
        BinaryPrimitives.WriteUInt64LittleEndian(page[(IdtPointerOffset + 2)..], idt);
    }

    /// <summary>Writes an interrupt gate; <paramref name="interruptStack"/> is 0, or 1 for the fault stack.</summary>
    public static void WriteGate(Span<byte> idt, int vector, ulong handler, byte interruptStack)
    {
        Span<byte> gate = idt.Slice(vector * GateBytes, GateBytes);
        BinaryPrimitives.WriteUInt16LittleEndian(gate, (ushort)handler);
        BinaryPrimitives.WriteUInt16LittleEndian(gate[2..], CodeSelector);
        gate[4] = interruptStack;
        gate[5] = 0x8e; // present, DPL 0, 64-bit interrupt gate
        BinaryPrimitives.WriteUInt16LittleEndian(gate[6..], (ushort)(handler >> 16));
        BinaryPrimitives.WriteUInt32LittleEndian(gate[8..], (uint)(handler >> 32));
    }

    private static ulong Directories(ulong ramBytes) => (Math.Max(ramBytes, FourGiB) + (1ul << 30) - 1) >> 30;

    private static void Entry(Span<byte> tables, int table, int index, ulong value) =>
        BinaryPrimitives.WriteUInt64LittleEndian(tables[(table * PageNumber.Size + index * sizeof(ulong))..], value);
}
