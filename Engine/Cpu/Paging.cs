using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Cpu;

/// <summary>What an access does with a page.</summary>
public enum PageAccess
{
    Read,
    Write,
    Execute,
}

/// <summary>Where a linear address leads, and what may be cached about it.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct PageTranslation
{
    /// <summary>The guest physical address of the byte (not only of its page).</summary>
    public ulong Physical;

    /// <summary>Bytes covered by the paging entry: 4 KiB, 2 MiB, 4 MiB or 1 GiB.</summary>
    public ulong PageSize;

    /// <summary>Further writes with the same privilege need no walk: the page is writable and its dirty flag is set.</summary>
    public bool MayWrite;

    /// <summary>The page survives a write of CR3 (CR4.PGE and the entry's G).</summary>
    public bool Global;

    /// <summary>
    /// The entry's U/S rights. A supervisor's access to such a page was allowed by EFLAGS.AC or by CR4.SMAP being off;
    /// a cache must not serve it once that changes.
    /// </summary>
    public bool UserPage;
}

/// <summary>
/// Address translation as Intel SDM 3A, chapter 4 has it: none, 32-bit with 4 MiB pages, PAE, and 4-level. Entries
/// outside RAM read as all ones. False means that a page fault is recorded in the context; CR2 is set on delivery.
/// </summary>
public static unsafe class Paging
{
    /// <summary>MAXPHYADDR, as CPUID 0x80000008 reports it.</summary>
    public const int PhysicalBits = 40;

    /// <summary>Physical addresses have no bits beyond these.</summary>
    public const ulong PhysicalMask = (1ul << PhysicalBits) - 1;

    private const ulong Present = 1 << 0, Write = 1 << 1, User = 1 << 2, Accessed = 1 << 5, Dirty = 1 << 6, Large = 1 << 7, Global = 1 << 8;
    private const ulong NoExecute = 1ul << 63;
    private const ulong AddressMask = PhysicalMask & ~0xffful;
    private const ulong ReservedLong = 0x000f_ffff_ffff_f000 & ~PhysicalMask;
    private const ulong ReservedPae = 0x7fff_ffff_ffff_f000 & ~PhysicalMask;

    private const uint ErrorPresent = 1, ErrorWrite = 2, ErrorUser = 4, ErrorReserved = 8, ErrorFetch = 16;

    /// <summary>Whether bits 63 to 47 of a 64-bit address are equal (4-level paging).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool IsCanonical(ulong linear) => (ulong)((long)(linear << 16) >> 16) == linear;

    /// <summary>
    /// Translates for an explicit access, setting accessed and dirty flags. The address is canonical, or below 4 GiB
    /// outside of IA-32e mode.
    /// </summary>
    public static bool Translate(VcpuContext* c, ulong linear, PageAccess access, bool user, out PageTranslation translation) =>
        Translate(c, linear, access, user, (c->State.Rflags & Rflags.AC) != 0, out translation);

    /// <summary>Translates for an access to a system structure (descriptor tables, TSS): a supervisor's, whatever the CPL, and never excused from SMAP (SDM 3A, 4.6.1).</summary>
    public static bool TranslateSystem(VcpuContext* c, ulong linear, PageAccess access, out PageTranslation translation) =>
        Translate(c, linear, access, user: false, alignmentCheck: false, out translation);

    private static bool Translate(VcpuContext* c, ulong linear, PageAccess access, bool user, bool alignmentCheck, out PageTranslation translation)
    {
        ref CpuState state = ref c->State;
        if (!state.LongMode)
            linear = (uint)linear;
        if (!state.Paging)
        {
            translation = new PageTranslation { Physical = linear, PageSize = PageNumber.Size, MayWrite = true, UserPage = true };
            return true;
        }
        GuestMemory memory = Vcpu.Of(c).Memory;
        Walk walk = new()
        {
            Linear = linear,
            Access = access,
            User = user,
            Override = alignmentCheck,
        };
        // A concurrent change of an entry between its reading and the setting of its flags starts the walk again.
        Outcome outcome;
        do
        {
            if (state.LongMode)
                outcome = WalkWide(c, memory, ref walk, state.Cr3 & AddressMask, 3, ReservedLong, out translation);
            else if ((state.Cr4 & Cr4.PAE) != 0)
                outcome = WalkPae(c, memory, ref walk, out translation);
            else
                outcome = WalkNarrow(c, memory, ref walk, out translation);
        }
        while (outcome == Outcome.Again);
        return outcome == Outcome.Done;
    }

    private static Outcome WalkPae(VcpuContext* c, GuestMemory memory, ref Walk walk, out PageTranslation translation)
    {
        // Loading CR3 checked the four entries; one changed since in memory is taken as it stands, as AMD processors do.
        ulong pointer = Read(memory, (c->State.Cr3 & 0xffff_ffe0) + (walk.Linear >> 30) * 8);
        translation = default;
        if ((pointer & Present) == 0)
            return Fail(c, walk, 0);
        if ((pointer & PaePointerReserved) != 0)
            return Fail(c, walk, ErrorPresent | ErrorReserved);
        return WalkWide(c, memory, ref walk, pointer & AddressMask, 1, ReservedPae, out translation);
    }

    /// <summary>Bits that must be clear in a present PAE page-directory-pointer entry (SDM 3A, table 4-8).</summary>
    internal const ulong PaePointerReserved = 0x1e6 | (~PhysicalMask & ~0xffful);

    /// <summary>Walks tables of 8-byte entries from a level (3: PML4, 1: page directory) down.</summary>
    [SkipLocalsInit]
    private static Outcome WalkWide(VcpuContext* c, GuestMemory memory, ref Walk walk, ulong table, int level, ulong reserved, out PageTranslation translation)
    {
        ulong* entries = stackalloc ulong[4];
        ulong* addresses = stackalloc ulong[4];
        ulong rights = ulong.MaxValue, noExecute = 0;
        ulong linear = walk.Linear;
        int top = level;
        if ((c->State.Efer & Efer.NXE) == 0)
            reserved |= NoExecute;
        translation = default;
        ulong entry;
        while (true)
        {
            ulong address = table + ((linear >> (12 + level * 9)) & 0x1ff) * 8;
            entry = Read(memory, address);
            if ((entry & Present) == 0)
                return Fail(c, walk, 0);
            ulong forbidden = reserved;
            bool leaf = level == 0;
            if ((entry & Large) != 0 && !leaf)
            {
                // Bit 7 is reserved in a PML4 entry, and in a PDPT entry where CPUID has no 1 GiB pages.
                leaf = level == 1 || (level == 2 && CpuidModel.GiantPages);
                forbidden |= leaf ? ((1ul << (level * 9)) - 2) << 12 : Large;
                // Bit 12 of a large page is its PAT bit; address bits 13 up to the page's size are reserved.
            }
            if ((entry & forbidden) != 0)
                return Fail(c, walk, ErrorPresent | ErrorReserved);
            entries[level] = entry;
            addresses[level] = address;
            rights &= entry;
            noExecute |= entry;
            if (leaf)
                break;
            table = entry & AddressMask;
            level--;
        }

        bool writable = (rights & Write) != 0;
        bool userPage = (rights & User) != 0;
        if (!Allowed(c, walk, writable, userPage, (noExecute & NoExecute) == 0))
            return Fail(c, walk, ErrorPresent);

        bool store = walk.Access == PageAccess.Write;
        if ((rights & Accessed) == 0 || (store && (entry & Dirty) == 0))
        {
            for (int i = top; i >= level; i--)
                if (!SetFlags(c, memory, addresses[i], entries[i], i == level && store ? Accessed | Dirty : Accessed))
                    return Outcome.Again;
            if (store)
                entry |= Dirty;
        }

        ulong size = 1ul << (12 + level * 9);
        translation.Physical = (entry & AddressMask & ~(size - 1)) | (linear & (size - 1));
        translation.PageSize = size;
        translation.MayWrite = (entry & Dirty) != 0 && WriteAllowed(c, walk.User, writable);
        translation.Global = (entry & Global) != 0 && (c->State.Cr4 & Cr4.PGE) != 0;
        translation.UserPage = userPage;
        return Outcome.Done;
    }

    /// <summary>Walks the two levels of 4-byte entries (SDM 3A, 4.3).</summary>
    private static Outcome WalkNarrow(VcpuContext* c, GuestMemory memory, ref Walk walk, out PageTranslation translation)
    {
        ulong linear = walk.Linear;
        bool store = walk.Access == PageAccess.Write;
        translation = default;
        ulong directoryAddress = (c->State.Cr3 & 0xffff_f000) + (linear >> 22) * 4;
        uint directory = ReadNarrow(memory, directoryAddress);
        if ((directory & Present) == 0)
            return Fail(c, walk, 0);
        uint entry = directory;
        ulong entryAddress = directoryAddress, size, physical;
        bool large = (directory & Large) != 0 && (c->State.Cr4 & Cr4.PSE) != 0;
        if (large)
        {
            // PSE-36: bits 20-13 are address bits 39-32; bit 21 is reserved at 40 physical bits.
            if ((directory & (1u << 21)) != 0)
                return Fail(c, walk, ErrorPresent | ErrorReserved);
            size = 1ul << 22;
            physical = (directory & 0xffc0_0000) | ((ulong)(directory & 0x1f_e000) << 19);
        }
        else
        {
            entryAddress = (directory & 0xffff_f000) + ((linear >> 12) & 0x3ff) * 4;
            entry = ReadNarrow(memory, entryAddress);
            if ((entry & Present) == 0)
                return Fail(c, walk, 0);
            size = 1ul << 12;
            physical = entry & 0xffff_f000;
        }

        uint rights = directory & entry;
        bool writable = (rights & Write) != 0;
        bool userPage = (rights & User) != 0;
        if (!Allowed(c, walk, writable, userPage, executable: true))
            return Fail(c, walk, ErrorPresent);
        if (!large && !SetFlagsNarrow(c, memory, directoryAddress, directory, (uint)Accessed))
            return Outcome.Again;
        uint flags = (uint)(store ? Accessed | Dirty : Accessed);
        if (!SetFlagsNarrow(c, memory, entryAddress, entry, flags))
            return Outcome.Again;
        entry |= flags;

        translation.Physical = physical | (linear & (size - 1));
        translation.PageSize = size;
        translation.MayWrite = (entry & Dirty) != 0 && WriteAllowed(c, walk.User, writable);
        translation.Global = (entry & Global) != 0 && (c->State.Cr4 & Cr4.PGE) != 0;
        translation.UserPage = userPage;
        return Outcome.Done;
    }

    /// <summary>The rights of SDM 3A, 4.6.1.</summary>
    private static bool Allowed(VcpuContext* c, in Walk walk, bool writable, bool userPage, bool executable)
    {
        ulong cr4 = c->State.Cr4;
        if (walk.User)
        {
            if (!userPage)
                return false;
        }
        else if (userPage)
        {
            if (walk.Access == PageAccess.Execute)
            {
                if ((cr4 & Cr4.SMEP) != 0)
                    return false;
            }
            else if ((cr4 & Cr4.SMAP) != 0 && !walk.Override)
                return false;
        }
        return walk.Access switch
        {
            PageAccess.Write => WriteAllowed(c, walk.User, writable),
            PageAccess.Execute => executable,
            _ => true,
        };
    }

    private static bool WriteAllowed(VcpuContext* c, bool user, bool writable) => writable || (!user && (c->State.Cr0 & Cr0.WP) == 0);

    private static Outcome Fail(VcpuContext* c, in Walk walk, uint code)
    {
        if (walk.Access == PageAccess.Write)
            code |= ErrorWrite;
        if (walk.User)
            code |= ErrorUser;
        if (walk.Access == PageAccess.Execute)
        {
            bool noExecute = (c->State.Cr4 & Cr4.PAE) != 0 && (c->State.Efer & Efer.NXE) != 0;
            if (noExecute || (c->State.Cr4 & Cr4.SMEP) != 0)
                code |= ErrorFetch;
        }
        c->RaisePageFault(walk.Linear, code);
        return Outcome.Fault;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Read(GuestMemory memory, ulong address)
    {
        byte* page = memory.Resolve(new PageNumber(address >> PageNumber.Shift), Memory.Access.Read);
        return page == null ? ulong.MaxValue : Volatile.Read(ref *(ulong*)(page + (address & 0xff8)));
    }

    private static uint ReadNarrow(GuestMemory memory, ulong address)
    {
        byte* page = memory.Resolve(new PageNumber(address >> PageNumber.Shift), Memory.Access.Read);
        return page == null ? uint.MaxValue : Volatile.Read(ref *(uint*)(page + (address & 0xffc)));
    }

    private static bool SetFlags(VcpuContext* c, GuestMemory memory, ulong address, ulong entry, ulong flags)
    {
        if ((entry & flags) == flags)
            return true;
        PageNumber number = new(address >> PageNumber.Shift);
        ulong* target = (ulong*)(memory.Resolve(number, Memory.Access.Write) + (address & 0xff8));
        if (Interlocked.CompareExchange(ref *target, entry | flags, entry) != entry)
            return false;
        NotifyCode(c, number, address, sizeof(ulong));
        return true;
    }

    private static bool SetFlagsNarrow(VcpuContext* c, GuestMemory memory, ulong address, uint entry, uint flags)
    {
        if ((entry & flags) == flags)
            return true;
        PageNumber number = new(address >> PageNumber.Shift);
        uint* target = (uint*)(memory.Resolve(number, Memory.Access.Write) + (address & 0xffc));
        if (Interlocked.CompareExchange(ref *target, entry | flags, entry) != entry)
            return false;
        NotifyCode(c, number, address, sizeof(uint));
        return true;
    }

    private static void NotifyCode(VcpuContext* c, PageNumber page, ulong address, int length)
    {
        ICodeWatcher code = Vcpu.Of(c).Code;
        if (code.IsCode(page))
            code.Written(new GuestPhysicalAddress(address), length);
    }

    private enum Outcome
    {
        Done,
        Fault,
        Again,
    }

    private struct Walk
    {
        public ulong Linear;
        public PageAccess Access;
        public bool User;

        /// <summary>EFLAGS.AC lifts SMAP for this access.</summary>
        public bool Override;
    }
}
