using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Interpreter;

/// <summary>The translations of pages that code is fetched from, by privilege.</summary>
internal sealed unsafe class CodeTranslations(Vcpu vcpu, LargePages large)
{
    private const int Entries = 512;
    private const ulong OffsetMask = PageNumber.Size - 1;
    private const ulong None = 1;

    private readonly Entry[] _user = New(), _supervisor = New();
    private readonly FillLog _local = new(Entries), _global = new(Entries);

    /// <summary>Translates an instruction's address; false: the fault is recorded.</summary>
    public bool Translate(ulong linear, bool user, out ulong physical, out bool global)
    {
        int index = (int)(linear >> PageNumber.Shift) & (Entries - 1);
        ref Entry entry = ref (user ? _user : _supervisor)[index];
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
        (global ? _global : _local).Add(index);
        if (translation.PageSize > PageNumber.Size)
            large.Add(linear, translation.PageSize);
        return true;
    }

    /// <summary>Whether the page's translation may be held, here or in what was looked up through it.</summary>
    public bool Holds(ulong linear)
    {
        // Entries replace each other, while blocks found through them stay known by RIP: only an untouched index says no.
        int index = (int)(linear >> PageNumber.Shift) & (Entries - 1);
        return _local.Contains(index) || _global.Contains(index);
    }

    public void FlushAll()
    {
        FlushNonGlobal();
        Clear(_global);
    }

    public void FlushNonGlobal() => Clear(_local);

    private void Clear(FillLog log)
    {
        foreach (ushort index in log.Filled)
            _user[index].Page = _supervisor[index].Page = None;
        log.Clear();
    }

    private static Entry[] New()
    {
        Entry[] entries = new Entry[Entries];
        Array.Fill(entries, new Entry { Page = None });
        return entries;
    }

    private struct Entry
    {
        public ulong Page, Physical;
        public bool Global;
    }
}
