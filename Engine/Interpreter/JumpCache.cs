using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Blocks by RIP alone, for branches that leave their page: what stands here is right as long as no translation of a
/// code page changes. One table for each privilege and code mode.
/// </summary>
internal sealed unsafe class JumpCache(IBlockTranslator? translator) : IDisposable
{
    /// <summary>Entries of a table; each is a RIP and, 8 bytes on, its translation. The blocks lie in a row behind the entries.</summary>
    public const int Entries = 4096;

    private readonly Table[] _tables = new Table[2 * CodeMode.Count];

    /// <summary>The table for a privilege and mode.</summary>
    public void* Select(bool user, byte mode)
    {
        ref Table table = ref _tables[mode * 2 + (user ? 1 : 0)];
        if (table.Entries == null)
            table = new Table(Entries);
        return table.Entries;
    }

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
    public bool IsLasting(byte mode, bool user, ulong rip) => _tables[mode * 2 + (user ? 1 : 0)].Lasting[Index(rip)];

    /// <summary>Remembers a block. <paramref name="global"/>: its translation survives a write of CR3.</summary>
    public void Add(VcpuContext* c, Block* block, bool user, bool global)
    {
        ref Table table = ref _tables[block->Mode * 2 + (user ? 1 : 0)];
        int index = Index(block->Rip);
        table.Entries[index] = new Entry { Rip = block->Rip, Native = translator != null ? translator.Entry(block) : null };
        *((Block**)(table.Entries + Entries) + index) = block;
        table.Lasting[index] = global;
        if (global)
            table.Global.Add(index);
        else
            table.Local.Add(index);
    }

    public void FlushAll()
    {
        FlushNonGlobal();
        translator?.JumpsFlushed();
        foreach (ref Table table in _tables.AsSpan())
            if (table.Entries != null)
                table.Clear(table.Global);
    }

    public void FlushNonGlobal()
    {
        foreach (ref Table table in _tables.AsSpan())
            if (table.Entries != null)
                table.Clear(table.Local);
    }

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

    /// <summary>A RIP that belongs to another entry, and is therefore never found in this one.</summary>
    private static ulong None(int index) => (ulong)index ^ 1;

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

        public readonly void Clear(FillLog log)
        {
            foreach (ushort index in log.Filled)
                Entries[index] = new Entry { Rip = None(index) };
            log.Clear();
        }
    }
}
