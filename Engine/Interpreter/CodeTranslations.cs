using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Interpreter;

/// <summary>The translations of pages that code is fetched from: a supervisor's, and a user's for each address space.</summary>
internal sealed unsafe class CodeTranslations(Vcpu vcpu, AddressSpaces spaces)
{
    private const int Entries = 512;
    private const ulong OffsetMask = PageNumber.Size - 1;
    private const ulong None = 1;

    private readonly Space _supervisor = new();
    private readonly Space?[] _users = new Space?[AddressSpaces.Count];

    /// <summary>Translates an instruction's address; false: the fault is recorded.</summary>
    public bool Translate(ulong linear, bool user, out ulong physical, out bool global)
    {
        Space space = user ? _users[spaces.Current] ??= new Space() : _supervisor;
        ref Entry entry = ref space.Entries[Index(linear)];
        if (entry.Page == (linear & ~OffsetMask))
        {
            physical = entry.Physical + (linear & OffsetMask);
            global = entry.Global;
            return true;
        }
        physical = 0;
        global = false;
        if (!Paging.Translate(vcpu.Context, linear, PageAccess.Execute, user, out PageTranslation translation))
            return false;
        physical = translation.Physical;
        global = translation.Global;
        entry = new Entry { Page = linear & ~OffsetMask, Physical = physical & ~OffsetMask, Global = global };
        space.Add(linear, global, translation.PageSize);
        return true;
    }

    /// <summary>Drops a supervisor's translation of a page. True: blocks found through it may be known by RIP.</summary>
    public bool DropSupervisor(ulong linear) => _supervisor.Drop(linear);

    /// <summary>Drops a user's translation of a page in an address space, as <see cref="DropSupervisor"/>.</summary>
    public bool DropUser(int slot, ulong linear, bool globalOnly) =>
        _users[slot] is { } space && (!globalOnly || space.MayHoldGlobal(linear)) && space.Drop(linear);

    public void FlushAll()
    {
        _supervisor.ClearAll();
        foreach (Space? space in _users)
            space?.ClearAll();
    }

    public void FlushSupervisor() => _supervisor.ClearLocal();

    public void FlushUser(int slot) => _users[slot]?.ClearLocal();

    /// <summary>Everything of a slot, for its next address space.</summary>
    public void EmptyUser(int slot) => _users[slot]?.ClearAll();

    private static int Index(ulong linear) => (int)(linear >> PageNumber.Shift) & (Entries - 1);

    private struct Entry
    {
        public ulong Page, Physical;
        public bool Global;
    }

    private sealed class Space
    {
        private readonly FillLog _local = new(CodeTranslations.Entries), _global = new(CodeTranslations.Entries);

        /// <summary>A guest that fetches from more pages is not worth the memory: any of them may have been seen then.</summary>
        private const int MostSeen = 1 << 16;

        // Pages ever translated. Entries replace each other, while blocks found through them stay known by RIP.
        private readonly HashSet<ulong> _seen = [];
        private bool _anySeen;
        private readonly LargePages _large = new();

        public Space() => Array.Fill(Entries, new Entry { Page = None });

        public Entry[] Entries { get; } = new Entry[CodeTranslations.Entries];

        private bool HasGlobal => _global.Filled.Length != 0;

        public bool MayHoldGlobal(ulong linear) => _global.Contains(Index(linear)) || (HasGlobal && _large.Covers(linear, out _));

        public void Add(ulong linear, bool global, ulong pageSize)
        {
            (global ? _global : _local).Add(Index(linear));
            if (_seen.Count < MostSeen)
                _seen.Add(linear >> PageNumber.Shift);
            else
                _anySeen = true;
            if (pageSize > PageNumber.Size)
                _large.Add(linear, pageSize);
        }

        public bool Drop(ulong linear)
        {
            if (_large.Covers(linear, out _))
            {
                ClearAll();
                return true;
            }
            if (!_seen.Remove(linear >> PageNumber.Shift) && !_anySeen)
                return false;
            ref Entry entry = ref Entries[Index(linear)];
            if (entry.Page == (linear & ~OffsetMask))
                entry.Page = None;
            return true;
        }

        public void ClearLocal()
        {
            if (!HasGlobal)
                ClearAll();
            else
                Clear(_local);
        }

        public void ClearAll()
        {
            Clear(_local);
            Clear(_global);
            _seen.Clear();
            _anySeen = false;
            _large.Clear();
        }

        private void Clear(FillLog log)
        {
            foreach (ushort index in log.Filled)
                Entries[index].Page = None;
            log.Clear();
        }
    }
}
