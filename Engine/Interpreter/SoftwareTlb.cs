using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Linear pages to host addresses, for reading and for writing. One bank of entries for each right to access: a user's
/// in each address space, a supervisor's, a supervisor's under SMAP, and one that never hits, for code whose alignment
/// is checked or whose accesses are watched by breakpoints. A supervisor's banks hold global pages and those of the
/// current address space. Devices, page-crossing accesses and stores to pages with decoded code never hit: they come to
/// the slow paths here.
/// </summary>
internal sealed unsafe class SoftwareTlb : ITranslationCache, IDisposable
{
    private const ulong OffsetMask = PageNumber.Size - 1;

    private readonly Vcpu _vcpu;
    private readonly VcpuContext* _c;
    private readonly JumpCache _jumps;
    private readonly CodeTranslations _code;
    private readonly BlockCache _blocks;
    private readonly AddressSpaces _spaces;
    private readonly Bank?[] _users = new Bank?[AddressSpaces.Count];
    private readonly Bank _supervisor = new(), _underSmap = new(), _never = new();
    private readonly List<Bank> _banks;
    private Bank _bank;
    private bool _user, _checkAlignment, _watching;

    public SoftwareTlb(Vcpu vcpu, AddressSpaces spaces, JumpCache jumps, CodeTranslations code, BlockCache blocks)
    {
        _vcpu = vcpu;
        _c = vcpu.Context;
        _jumps = jumps;
        _code = code;
        _blocks = blocks;
        _spaces = spaces;
        _banks = [_supervisor, _underSmap, _never];
        _bank = _supervisor;
    }

    /// <summary>The instruction being executed runs alone (its RIP and the instruction count are exact) and may reach devices.</summary>
    public bool Alone { get; set; }

    /// <summary>DR6 bits of the data breakpoints met since this was last cleared.</summary>
    public ulong BreakpointHits { get; set; }

    public static SoftwareTlb Of(VcpuContext* c) => (SoftwareTlb)Vcpu.Of(c).Translations;

    /// <summary>Selects the bank for the current CPL, CR0.AM, CR4.SMAP, EFLAGS.AC and DR7.</summary>
    public void SelectBank()
    {
        ref CpuState state = ref _c->State;
        bool user = state.Cpl == 3;
        bool ac = (state.Rflags & Rflags.AC) != 0;
        _user = user;
        _checkAlignment = user && ac && (state.Cr0 & Cr0.AM) != 0;
        _watching = Breakpoints.AreOn(state);
        _bank = _checkAlignment || _watching ? _never : user ? User() : (state.Cr4 & Cr4.SMAP) != 0 && !ac ? _underSmap : _supervisor;
        _c->Tlb = _bank.Entries;
        bool smap = (state.Cr4 & Cr4.SMAP) != 0;
        _c->TlbSupervisor = _watching ? _never.Entries : smap ? _underSmap.Entries : _supervisor.Entries;
        _c->TlbOverride = _watching ? _never.Entries : _supervisor.Entries;
        _c->TlbUser = _watching || _users[_spaces.Current] is not { } users ? null : users.Entries;
    }

    /// <summary>
    /// Fills the entry of an access that missed, with what the access does to page tables and to the dirty log. False: it
    /// has to be executed, and nothing is recorded: it faults, reaches a device, two pages or code, or must be seen.
    /// </summary>
    public bool Fill(ulong address, int size, bool write)
    {
        if (!_c->State.Mode64)
            address = (uint)address;
        else if (!Paging.IsCanonical(address))
            return false;
        if (_bank == _never || (address & OffsetMask) + (ulong)size > PageNumber.Size)
            return false;
        if (Resolve(address, write ? PageAccess.Write : PageAccess.Read, out ulong physical) == null)
        {
            if (physical == NoPhysical)
                _c->Fault = new Fault { Vector = Fault.None };
            return false;
        }
        TlbEntry* entry = _bank.Entries + Index(address);
        return (write ? entry->WriteTag : entry->ReadTag) == (address & ~OffsetMask);
    }

    /// <summary>A load that missed. At most a page.</summary>
    public bool Read(ulong address, byte* destination, int size)
    {
        if (!Check(ref address, size))
            return false;
        ulong offset = address & OffsetMask;
        int head = (int)Math.Min((ulong)size, PageNumber.Size - offset);
        byte* first = Resolve(address, PageAccess.Read, out ulong firstPhysical);
        if (first == null && firstPhysical == NoPhysical)
            return false;
        byte* second = null;
        ulong secondPhysical = 0;
        if (head < size)
        {
            second = Resolve(Next(address, head), PageAccess.Read, out secondPhysical);
            if (second == null && secondPhysical == NoPhysical)
                return false;
        }
        if ((first == null || (head < size && second == null)) && !Alone)
            return Completion.Stop(_c, Completion.Alone);
        Watch(address, size, write: false);
        ReadPart(first, firstPhysical, destination, head);
        if (head < size)
            ReadPart(second, secondPhysical, destination + head, size - head);
        return true;
    }

    /// <summary>A store that missed. At most a page; nothing is stored when any part of it faults.</summary>
    public bool Write(ulong address, byte* source, int size)
    {
        if (!PrepareWrite(address, size, out Target target))
            return false;
        Watch(address, size, write: true);
        WritePart(target.First, target.FirstPhysical, source, target.Head);
        if (target.Head < size)
            WritePart(target.Second, target.SecondPhysical, source + target.Head, size - target.Head);
        return true;
    }

    /// <summary>The load of a read-modify-write that missed: faults as the store would.</summary>
    public bool ReadForWrite(ulong address, byte* destination, int size)
    {
        if (!PrepareWrite(address, size, out Target target))
            return false;
        Watch(address, size, write: false);
        ReadPart(target.First, target.FirstPhysical, destination, target.Head);
        if (target.Head < size)
            ReadPart(target.Second, target.SecondPhysical, destination + target.Head, size - target.Head);
        return true;
    }

    /// <summary>
    /// The host address of writable memory in a page with decoded code, which never hits, and its physical address: whoever
    /// stores there tells the code's watchers. Null where it is no such page, or where every access must be seen. To be
    /// asked after <see cref="ReadForWrite"/> found no fault.
    /// </summary>
    public void* CodePointer(ulong address, int size, out ulong physical)
    {
        physical = NoPhysical;
        if (_watching || _checkAlignment || !PrepareWrite(address, size, out Target target) || target.First == null || target.Head < size
            || !_blocks.IsCode(new PageNumber(target.FirstPhysical >> PageNumber.Shift)))
            return null;
        physical = target.FirstPhysical;
        return target.First;
    }

    public void FlushAll()
    {
        foreach (Bank bank in _banks)
            bank.ClearAll();
        _jumps.FlushAll();
        _code.FlushAll();
        Enter(AddressSpaces.PcidOf(_c->State));
    }

    public void FlushNonGlobal()
    {
        FlushSupervisor();
        for (int slot = 0; slot < AddressSpaces.Count; slot++)
            FlushUser(slot);
    }

    public void FlushNonGlobal(int pcid)
    {
        int slot = _spaces.SlotOf(pcid);
        if (slot < 0)
            return;
        FlushUser(slot);
        if (slot == _spaces.Current)
            FlushSupervisor();
    }

    public void Enter(int pcid)
    {
        int before = _spaces.Current;
        bool taken = _spaces.Enter(pcid);
        int slot = _spaces.Current;
        if (taken)
        {
            _users[slot]?.ClearAll();
            _jumps.FlushUser(slot, global: true);
            _code.EmptyUser(slot);
        }
        if (taken || slot != before)
            FlushSupervisor();
    }

    public void FlushPage(ulong linear)
    {
        _supervisor.Drop(linear);
        _underSmap.Drop(linear);
        if (_code.DropSupervisor(linear))
            _jumps.FlushSupervisorPage(linear);
        // A global page goes from every address space (SDM 3A, 4.10.4.1).
        for (int slot = 0; slot < AddressSpaces.Count; slot++)
            FlushUserPage(slot, linear, globalOnly: slot != _spaces.Current);
    }

    public void FlushPage(ulong linear, int pcid)
    {
        int slot = _spaces.SlotOf(pcid);
        if (slot == _spaces.Current)
            FlushPage(linear);
        else if (slot >= 0)
            FlushUserPage(slot, linear, globalOnly: false);
    }

    /// <summary>Drops every permission to write (a new dirty generation).</summary>
    public void RevokeWritePermissions()
    {
        foreach (Bank bank in _banks)
        {
            foreach (ushort index in bank.Local.Filled)
                bank.Entries[index].WriteTag = TlbEntry.Invalid(index);
            foreach (ushort index in bank.Global.Filled)
                bank.Entries[index].WriteTag = TlbEntry.Invalid(index);
        }
    }

    /// <summary>Drops the permission to write one physical page: code has been decoded from it.</summary>
    public void RevokeWritePermission(PageNumber page)
    {
        ulong physical = page.Address.Value;
        foreach (Bank bank in _banks)
        {
            foreach (ushort index in bank.Local.Filled)
                if (bank.Physical[index] == physical)
                    bank.Entries[index].WriteTag = TlbEntry.Invalid(index);
            foreach (ushort index in bank.Global.Filled)
                if (bank.Physical[index] == physical)
                    bank.Entries[index].WriteTag = TlbEntry.Invalid(index);
        }
    }

    public void Dispose()
    {
        foreach (Bank bank in _banks)
            bank.Dispose();
    }

    private Bank User()
    {
        if (_users[_spaces.Current] is { } bank)
            return bank;
        bank = new Bank();
        _users[_spaces.Current] = bank;
        _banks.Add(bank);
        return bank;
    }

    private void FlushSupervisor()
    {
        _supervisor.ClearLocal();
        _underSmap.ClearLocal();
        _jumps.FlushSupervisor(global: false);
        _code.FlushSupervisor();
    }

    private void FlushUser(int slot)
    {
        _users[slot]?.ClearLocal();
        _jumps.FlushUser(slot, global: false);
        _code.FlushUser(slot);
    }

    private void FlushUserPage(int slot, ulong linear, bool globalOnly)
    {
        if (_users[slot] is { } bank && (!globalOnly || bank.MayHoldGlobal(linear)))
            bank.Drop(linear);
        if (_code.DropUser(slot, linear, globalOnly))
            _jumps.FlushUserPage(slot, linear);
    }

    /// <summary>No physical address.</summary>
    public const ulong NoPhysical = ulong.MaxValue;

    private static TlbEntry Empty(int index) => new() { ReadTag = TlbEntry.Invalid(index), WriteTag = TlbEntry.Invalid(index) };

    private static int Index(ulong address) => (int)(address >> PageNumber.Shift) & (TlbEntry.Count - 1);

    /// <summary>Cuts the address to what the mode has and checks what comes before paging: canonical form and alignment.</summary>
    private bool Check(ref ulong address, int size)
    {
        if (!_c->State.Mode64)
            address = (uint)address;
        else if (!Paging.IsCanonical(address) || !Paging.IsCanonical(address + (ulong)size - 1))
        {
            // The dispatcher makes it a stack fault where the operand goes through SS.
            _c->Fault = new Fault { Vector = (byte)Vector.GP, HasErrorCode = true, Address = NonCanonical };
            return false;
        }
        if (_checkAlignment && size <= 8 && (address & (ulong)(size - 1)) != 0)
            return _c->Raise(Vector.AC, 0);
        return true;
    }

    /// <summary>Marks in <see cref="Fault.Address"/> a general protection fault for a non-canonical address.</summary>
    public const ulong NonCanonical = 1;

    private ulong Next(ulong address, int bytes)
    {
        address += (ulong)bytes;
        return _c->State.Mode64 ? address : (uint)address;
    }

    private bool PrepareWrite(ulong address, int size, out Target target)
    {
        target = default;
        if (!Check(ref address, size))
            return false;
        target.Head = (int)Math.Min((ulong)size, PageNumber.Size - (address & OffsetMask));
        target.First = Resolve(address, PageAccess.Write, out target.FirstPhysical);
        if (target.First == null && target.FirstPhysical == NoPhysical)
            return false;
        bool device = target.First == null;
        if (target.Head < size)
        {
            target.Second = Resolve(Next(address, target.Head), PageAccess.Write, out target.SecondPhysical);
            if (target.Second == null && target.SecondPhysical == NoPhysical)
                return false;
            device |= target.Second == null;
        }
        if (device && !Alone)
            return Completion.Stop(_c, Completion.Alone);
        return true;
    }

    /// <summary>
    /// The host address of a byte, filling the TLB; null with its physical address for a device, null with
    /// <see cref="NoPhysical"/> for a fault.
    /// </summary>
    private byte* Resolve(ulong linear, PageAccess access, out ulong physical)
    {
        TlbEntry* entry = _bank.Entries + Index(linear);
        ulong page = linear & ~OffsetMask;
        if (access == PageAccess.Read ? entry->ReadTag == page : entry->WriteTag == page)
        {
            physical = _bank.Physical[Index(linear)] + (linear & OffsetMask);
            return (byte*)(linear + entry->Addend);
        }
        WorkLog.Step(_c);
        if (!Paging.Translate(_c, linear, access, _user, out PageTranslation translation))
        {
            physical = NoPhysical;
            return null;
        }
        physical = translation.Physical;
        PageNumber number = new(physical >> PageNumber.Shift);
        byte* host = _vcpu.Memory.Resolve(number, access == PageAccess.Write ? Access.Write : Access.Read);
        if (host == null)
            return null;
        if (_bank != _never)
            Fill(entry, linear, access, translation, host);
        return host + (linear & OffsetMask);
    }

    private void Fill(TlbEntry* entry, ulong linear, PageAccess access, in PageTranslation translation, byte* host)
    {
        ulong page = linear & ~OffsetMask;
        ulong physical = translation.Physical & ~OffsetMask;
        // A write permission that stands goes on when the page is read through a new entry of the same page.
        int index = Index(linear);
        ulong invalid = TlbEntry.Invalid(index);
        ulong writeTag = entry->ReadTag == page && _bank.Physical[index] == physical ? entry->WriteTag : invalid;
        if (access == PageAccess.Write)
            writeTag = translation.MayWrite && !_blocks.IsCode(new PageNumber(physical >> PageNumber.Shift)) ? page : invalid;
        *entry = new TlbEntry { ReadTag = page, WriteTag = writeTag, Addend = (ulong)host - page, Host = (ulong)host };
        _bank.Physical[index] = physical;
        (translation.Global ? _bank.Global : _bank.Local).Add(index);
        if (translation.PageSize > PageNumber.Size)
            _bank.Large.Add(linear, translation.PageSize);
    }

    private void Watch(ulong address, int size, bool write)
    {
        if (_watching)
            BreakpointHits |= Breakpoints.AtData(_c->State, address, size, write);
    }

    private void ReadPart(byte* host, ulong physical, byte* destination, int size)
    {
        if (host != null)
            Copy(host, destination, size);
        else
            PhysicalMemory.Read(_vcpu, physical, new Span<byte>(destination, size));
    }

    private void WritePart(byte* host, ulong physical, byte* source, int size)
    {
        if (host == null)
        {
            PhysicalMemory.Write(_vcpu, physical, new ReadOnlySpan<byte>(source, size));
            return;
        }
        Copy(source, host, size);
        if (_blocks.IsCode(new PageNumber(physical >> PageNumber.Shift)))
            _blocks.Written(new GuestPhysicalAddress(physical), size);
    }

    /// <summary>Natural sizes in one piece: another processor must not see half of a value.</summary>
    private static void Copy(byte* from, byte* to, int size)
    {
        switch (size)
        {
            case 1:
                *to = *from;
                break;
            case 2:
                Unsafe.WriteUnaligned(to, Unsafe.ReadUnaligned<ushort>(from));
                break;
            case 4:
                Unsafe.WriteUnaligned(to, Unsafe.ReadUnaligned<uint>(from));
                break;
            case 8:
                Unsafe.WriteUnaligned(to, Unsafe.ReadUnaligned<ulong>(from));
                break;
            default:
                Buffer.MemoryCopy(from, to, size, size);
                break;
        }
    }

    private struct Target
    {
        public byte* First, Second;
        public ulong FirstPhysical, SecondPhysical;
        public int Head;
    }

    private sealed class Bank : IDisposable
    {
        public TlbEntry* Entries { get; private set; }

        /// <summary>The guest physical addresses of the entries' pages.</summary>
        public ulong[] Physical { get; } = new ulong[TlbEntry.Count];

        public FillLog Local { get; } = new(TlbEntry.Count);

        public FillLog Global { get; } = new(TlbEntry.Count);

        public Bank()
        {
            Entries = (TlbEntry*)NativeMemory.AlignedAlloc((nuint)(TlbEntry.Count * sizeof(TlbEntry)), 64);
            for (int i = 0; i < TlbEntry.Count; i++)
                Entries[i] = Empty(i);
        }

        /// <summary>The large pages that entries are pieces of.</summary>
        public LargePages Large { get; } = new();

        /// <summary>Drops a page: one entry, or all pieces of the large page that it lies in.</summary>
        public void Drop(ulong linear)
        {
            if (Large.Covers(linear, out int shift))
            {
                DropPieces(Local, linear, shift);
                DropPieces(Global, linear, shift);
                Large.Remove(linear);
                return;
            }
            int index = Index(linear);
            if (Entries[index].ReadTag == (linear & ~OffsetMask))
                Entries[index] = Empty(index);
        }

        /// <summary>False: no global translation of the page is here, whole or as a piece of a larger one.</summary>
        public bool MayHoldGlobal(ulong linear) => Global.Contains(Index(linear)) || (Global.Filled.Length != 0 && Large.Covers(linear, out _));

        public void ClearLocal()
        {
            Clear(Local);
            if (Global.Filled.Length == 0)
                Large.Clear();
        }

        public void ClearAll()
        {
            Clear(Local);
            Clear(Global);
            Large.Clear();
        }

        public void Dispose()
        {
            NativeMemory.AlignedFree(Entries);
            Entries = null;
        }

        private void DropPieces(FillLog log, ulong linear, int shift)
        {
            foreach (ushort index in log.Filled)
                if ((Entries[index].ReadTag ^ linear) >> shift == 0)
                    Entries[index] = Empty(index);
        }

        private void Clear(FillLog log)
        {
            foreach (ushort index in log.Filled)
                Entries[index] = Empty(index);
            log.Clear();
        }
    }
}
