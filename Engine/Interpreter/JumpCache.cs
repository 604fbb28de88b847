using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Blocks by RIP alone, for branches that leave their page: what stands here is right as long as no translation of a
/// code page changes. One table for each code mode for supervisors, and for users of each address space.
/// </summary>
internal sealed unsafe class JumpCache(AddressSpaces spaces, IBlockTranslator? translator) : IDisposable
{
    /// <summary>Entries of a table; each is a RIP and, 8 bytes on, its translation. The blocks lie in a row behind the entries.</summary>
    public const int Entries = 16384;

    private readonly Table[] _tables = new Table[(1 + AddressSpaces.Count) * CodeMode.Count];

    /// <summary>The table for a privilege and mode.</summary>
    public void* Select(bool user, byte mode)
    {
        ref Table table = ref TableOf(user, mode);
        if (table.Entries == null)
            table = new Table(Entries);
        return table.Entries;
    }

    /// <summary>The same, or null where nobody has selected it.</summary>
    public void* Known(bool user, byte mode) => TableOf(user, mode).Entries;

    /// <summary>Goes to a block by its RIP, which is canonical; leaves the loop where it is not known.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Op* Jump(VcpuContext* c, ulong rip)
    {
        Entry* entry = (Entry*)c->JumpCache + Index(rip);
        if (entry->Rip == rip)
            return Block.Enter(c, BlockOf(c, rip));
        c->State.Rip = rip;
        return null;
    }

    public static Block* Find(VcpuContext* c, ulong rip)
    {
        Entry* entry = (Entry*)c->JumpCache + Index(rip);
        return entry->Rip == rip ? BlockOf(c, rip) : null;
    }

    /// <summary>A block that <see cref="Find"/> knows has got a translation.</summary>
    public static void Translated(VcpuContext* c, ulong rip, void* native) => ((Entry*)c->JumpCache + Index(rip))->Native = native;

    /// <summary>Whether what is known by a RIP is so until everything is flushed.</summary>
    public bool IsLasting(byte mode, bool user, ulong rip) => TableOf(user, mode).Lasting[Index(rip)];

    /// <summary>Remembers a block. <paramref name="global"/>: its translation survives a write of CR3.</summary>
    public void Add(VcpuContext* c, Block* block, bool user, bool global)
    {
        ref Table table = ref TableOf(user, block->Mode);
        int index = Index(block->Rip);
        table.Entries[index] = new Entry { Rip = block->Rip, Native = translator != null ? translator.Entry(block) : null };
        *((Block**)(table.Entries + Entries) + index) = block;
        table.Lasting[index] = global;
        if (global)
            table.Global.Add(index);
        else
            table.Local.Add(index);
    }

    /// <summary>A block is gone: no RIP leads to it any more.</summary>
    public void Forget(Block* block)
    {
        int index = Index(block->Rip);
        for (int i = block->Mode; i < _tables.Length; i += CodeMode.Count)
            if (Holds(_tables[i], index, block))
                _tables[i].Entries[index] = new Entry { Rip = None(index) };
    }

    /// <summary>A block has lost its translation.</summary>
    public void LeadOut(Block* block)
    {
        int index = Index(block->Rip);
        for (int i = block->Mode; i < _tables.Length; i += CodeMode.Count)
            if (Holds(_tables[i], index, block))
                _tables[i].Entries[index].Native = translator!.Entry(block);
    }

    public void FlushAll()
    {
        FlushSupervisor(global: true);
        for (int slot = 0; slot < AddressSpaces.Count; slot++)
            FlushUser(slot, global: true);
    }

    /// <summary>Forgets a supervisor's blocks, or those of them that do not survive a write of CR3.</summary>
    public void FlushSupervisor(bool global)
    {
        if (global)
            translator?.JumpsFlushed();
        Flush(Supervisor, global);
    }

    /// <summary>The same for the users of an address space.</summary>
    public void FlushUser(int slot, bool global) => Flush(User(slot), global);

    /// <summary>Forgets the supervisor's blocks that have bytes in a page.</summary>
    public void FlushSupervisorPage(ulong linear)
    {
        translator?.JumpsFlushed();
        FlushPage(Supervisor, linear);
    }

    /// <summary>Forgets the blocks of an address space's users that have bytes in a page.</summary>
    public void FlushUserPage(int slot, ulong linear) => FlushPage(User(slot), linear);

    public void Dispose()
    {
        foreach (ref Table table in _tables.AsSpan())
        {
            NativeMemory.AlignedFree(table.Entries);
            table.Entries = null;
        }
    }

    /// <summary>Where the entry of a RIP lies in a table, in bytes.</summary>
    public static int Offset(ulong rip) => Index(rip) * sizeof(Entry);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Block* BlockOf(VcpuContext* c, ulong rip) => *((Block**)((Entry*)c->JumpCache + Entries) + Index(rip));

    private static bool Holds(in Table table, int index, Block* block) =>
        table.Entries != null && table.Entries[index].Rip == block->Rip && *((Block**)(table.Entries + Entries) + index) == block;

    private Span<Table> Supervisor => _tables.AsSpan(0, CodeMode.Count);

    private Span<Table> User(int slot) => _tables.AsSpan((1 + slot) * CodeMode.Count, CodeMode.Count);

    private ref Table TableOf(bool user, byte mode) => ref _tables[mode + (user ? (1 + spaces.Current) * CodeMode.Count : 0)];

    private static void Flush(Span<Table> tables, bool global)
    {
        foreach (ref Table table in tables)
        {
            if (table.Entries == null)
                continue;
            table.Clear(table.Local);
            if (global)
                table.Clear(table.Global);
        }
    }

    private static void FlushPage(Span<Table> tables, ulong linear)
    {
        for (byte mode = 0; mode < tables.Length; mode++)
        {
            ref Table table = ref tables[mode];
            if (table.Entries == null)
                continue;
            if (mode == CodeMode.Code64)
            {
                table.ClearPage(table.Local, linear);
                table.ClearPage(table.Global, linear);
                continue;
            }
            // There RIP is not the linear address.
            table.Clear(table.Local);
            table.Clear(table.Global);
        }
    }

    /// <summary>A RIP that belongs to another entry, and is therefore never found in this one.</summary>
    private static ulong None(int index)
    {
        // Index's inverse, for the neighbour.
        ulong other = (ulong)index ^ 1;
        return other ^ (other >> 12);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Index(ulong rip) => (int)((rip ^ (rip >> 12)) & (Entries - 1));

    [StructLayout(LayoutKind.Sequential)]
    private struct Entry
    {
        public ulong Rip;
        public void* Native;
    }

    private struct Table
    {
        public Entry* Entries;
        public readonly FillLog Local, Global;

        /// <summary>Which entries hold blocks of global pages.</summary>
        public readonly bool[] Lasting;

        public Table(int entries)
        {
            Entries = (Entry*)NativeMemory.AlignedAlloc((nuint)(entries * (sizeof(Entry) + sizeof(Block*))), 64);
            Local = new FillLog(entries);
            Global = new FillLog(entries);
            Lasting = new bool[entries];
            for (int i = 0; i < entries; i++)
                Entries[i] = new Entry { Rip = None(i) };
        }

        /// <summary>Clears what begins in a page, or in the one before it, from which a block may reach over.</summary>
        public readonly void ClearPage(FillLog log, ulong linear)
        {
            ulong page = linear >> PageNumber.Shift;
            foreach (ushort index in log.Filled)
                if (page - (Entries[index].Rip >> PageNumber.Shift) <= 1)
                    Entries[index] = new Entry { Rip = None(index) };
        }

        public readonly void Clear(FillLog log)
        {
            foreach (ushort index in log.Filled)
                Entries[index] = new Entry { Rip = None(index) };
            log.Clear();
        }
    }
}
