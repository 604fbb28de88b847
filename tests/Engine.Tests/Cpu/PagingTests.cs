using Godwit.Engine.Cpu;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

/// <summary>
/// Every combination of rights, modes and control bits against an oracle that applies the rules of Intel SDM 3A, 4.6 and
/// 4.7 to the list of entries used, with no regard for how the engine walks.
/// </summary>
public sealed unsafe class PagingTests
{
    private const ulong Present = 1, Writable = 2, User = 4, Accessed = 0x20, Dirty = 0x40, Large = 0x80, Global = 0x100, NoExecute = 1ul << 63;
    private const ulong Root = 0x10_0000, Frame = 0x20_0000, Linear = 0x0040_2345;

    public enum Shape
    {
        Long4K,
        Long2M,
        Long1G,
        Pae4K,
        Pae2M,
        Narrow4K,
        Narrow4M,
    }

    public static TheoryData<Shape> Shapes => [.. Enum.GetValues<Shape>()];

    [Theory]
    [MemberData(nameof(Shapes))]
    public void EveryCombinationOfRightsAgreesWithTheManual(Shape shape)
    {
        using CpuBench bench = new();
        ulong[] rights = IsNarrow(shape)
            ? [0, Present, Present | Writable, Present | User, Present | Writable | User]
            : [0, Present, Present | Writable, Present | User, Present | Writable | User, Present | Writable | User | NoExecute];
        int cases = 0;
        foreach (ulong upper in rights)
            foreach (ulong leaf in rights)
                for (int bits = 0; bits < 32; bits++)
                    foreach (PageAccess access in Enum.GetValues<PageAccess>())
                        foreach (bool user in new[] { false, true })
                        {
                            Check(bench, shape, upper, leaf, bits, access, user);
                            cases++;
                        }
        Assert.True(cases >= 5 * 5 * 32 * 6);
    }

    private static bool IsNarrow(Shape shape) => shape is Shape.Narrow4K or Shape.Narrow4M;

    private static void Check(CpuBench bench, Shape shape, ulong upper, ulong leaf, int bits, PageAccess access, bool user)
    {
        bool wp = (bits & 1) != 0, smep = (bits & 2) != 0, smap = (bits & 4) != 0, ac = (bits & 8) != 0, nxe = (bits & 16) != 0;
        List<ulong> entries = Build(bench, shape, upper, leaf);
        List<ulong> before = [.. entries.Select(address => ReadEntry(bench, shape, address))];
        SetMode(bench, shape, wp, smep, smap, ac, nxe);
        bench.ClearFault();
        bool done = Paging.Translate(bench.C, Linear, access, user, out PageTranslation translation);

        string where = $"{shape} upper {upper:x} leaf {leaf:x} wp {wp} smep {smep} smap {smap} ac {ac} nxe {nxe} {access} user {user}";
        uint? expected = Oracle(shape, before, access, user, wp, smep, smap, ac, nxe);
        Assert.True(done == (expected is null), where);
        if (expected is { } code)
        {
            Assert.True(bench.Fault.Vector == (byte)Vector.PF, where);
            Assert.True(bench.Fault.ErrorCode == code, $"{where}: error {bench.Fault.ErrorCode:x} instead of {code:x}");
            Assert.True(bench.Fault.Address == Linear, where);
            Assert.True(entries.Select(address => ReadEntry(bench, shape, address)).SequenceEqual(before), $"{where}: a fault changed an entry");
            return;
        }
        ulong size = shape switch
        {
            Shape.Long2M or Shape.Pae2M => 1ul << 21,
            Shape.Long1G => 1ul << 30,
            Shape.Narrow4M => 1ul << 22,
            _ => 4096,
        };
        ulong frame = shape == Shape.Long1G ? 0 : shape == Shape.Narrow4M ? 0x40_0000 : Frame;
        Assert.True(translation.Physical == frame + (Linear & (size - 1)), $"{where}: {translation.Physical:x}");
        Assert.True(translation.PageSize == size, where);
        for (int i = 0; i < entries.Count; i++)
        {
            // PAE's pointers have no accessed flag.
            bool pointer = i == 0 && shape is Shape.Pae4K or Shape.Pae2M && entries.Count > 0 && i == 0;
            ulong flags = pointer ? 0 : i == entries.Count - 1 && access == PageAccess.Write ? Accessed | Dirty : Accessed;
            Assert.True(ReadEntry(bench, shape, entries[i]) == (before[i] | flags), $"{where}: entry {i}");
        }
        bool writable = Combined(shape, before, Writable);
        bool mayWrite = access == PageAccess.Write && (writable || (!user && !wp));
        Assert.True(translation.MayWrite == mayWrite, where);
    }

    /// <summary>The error code of the fault, or null for none.</summary>
    private static uint? Oracle(Shape shape, List<ulong> entries, PageAccess access, bool user, bool wp, bool smep, bool smap, bool ac, bool nxe)
    {
        bool narrow = IsNarrow(shape);
        uint code = 0;
        if (access == PageAccess.Write)
            code |= 2;
        if (user)
            code |= 4;
        if (access == PageAccess.Execute && (smep || (nxe && !narrow)))
            code |= 16;
        foreach (ulong entry in entries)
        {
            if ((entry & Present) == 0)
                return code;
            if (!narrow && !nxe && (entry & NoExecute) != 0)
                return code | 9;
        }
        bool userPage = Combined(shape, entries, User), writable = Combined(shape, entries, Writable);
        bool executable = entries.All(entry => (entry & NoExecute) == 0);
        bool allowed = user ? userPage : true;
        if (access == PageAccess.Execute)
            allowed &= executable && (user || !(smep && userPage));
        else if (!user && userPage && smap && !ac)
            allowed = false;
        if (access == PageAccess.Write)
            allowed &= writable || (!user && !wp);
        return allowed ? null : code | 1;
    }

    /// <summary>Whether a right is given by every entry that has it (a PAE pointer has none).</summary>
    private static bool Combined(Shape shape, List<ulong> entries, ulong right) =>
        entries.Skip(shape is Shape.Pae4K or Shape.Pae2M ? 1 : 0).All(entry => (entry & right) != 0);

    /// <summary>Builds the tables; returns the addresses of the entries used, from the top. The entry above the leaf has the upper rights.</summary>
    private static List<ulong> Build(CpuBench bench, Shape shape, ulong upper, ulong leaf)
    {
        const ulong All = Present | Writable | User;
        ulong index4 = Linear >> 39 & 511, index3 = Linear >> 30 & 511, index2 = Linear >> 21 & 511, index1 = Linear >> 12 & 511;
        List<ulong> entries;
        switch (shape)
        {
            case Shape.Long4K:
                entries = [Root + index4 * 8, Root + 0x1000 + index3 * 8, Root + 0x2000 + index2 * 8, Root + 0x3000 + index1 * 8];
                Put(bench, entries, [All | Root + 0x1000, All | Root + 0x2000, upper | Root + 0x3000, leaf | Frame]);
                break;
            case Shape.Long2M:
                entries = [Root + index4 * 8, Root + 0x1000 + index3 * 8, Root + 0x2000 + index2 * 8];
                Put(bench, entries, [All | Root + 0x1000, upper | Root + 0x2000, leaf | Large | Frame]);
                break;
            case Shape.Long1G:
                entries = [Root + index4 * 8, Root + 0x1000 + index3 * 8];
                Put(bench, entries, [upper | Root + 0x1000, leaf | Large]);
                break;
            case Shape.Pae4K:
                entries = [Root + index3 * 8, Root + 0x1000 + index2 * 8, Root + 0x2000 + index1 * 8];
                Put(bench, entries, [Present | Root + 0x1000, upper | Root + 0x2000, leaf | Frame]);
                break;
            case Shape.Pae2M:
                // The pointer above has no rights; upper is not used.
                entries = [Root + index3 * 8, Root + 0x1000 + index2 * 8];
                Put(bench, entries, [Present | Root + 0x1000, leaf | Large | Frame]);
                break;
            case Shape.Narrow4K:
                entries = [Root + (Linear >> 22) * 4, Root + 0x1000 + (Linear >> 12 & 1023) * 4];
                bench.Write(entries[0], (uint)(upper | Root + 0x1000));
                bench.Write(entries[1], (uint)(leaf | Frame));
                break;
            default:
                entries = [Root + (Linear >> 22) * 4];
                bench.Write(entries[0], (uint)(leaf | Large | 0x40_0000));
                break;
        }
        return entries;
    }

    private static void Put(CpuBench bench, List<ulong> addresses, ulong[] values)
    {
        for (int i = 0; i < values.Length; i++)
            bench.Write(addresses[i], values[i]);
    }

    private static ulong ReadEntry(CpuBench bench, Shape shape, ulong address) => IsNarrow(shape) ? bench.Read<uint>(address) : bench.Read<ulong>(address);

    private static void SetMode(CpuBench bench, Shape shape, bool wp, bool smep, bool smap, bool ac, bool nxe)
    {
        ref CpuState state = ref bench.State;
        bool isLong = shape is Shape.Long4K or Shape.Long2M or Shape.Long1G;
        state.Cr0 = Cr0.PE | Cr0.PG | (wp ? Cr0.WP : 0);
        state.Cr3 = Root;
        state.Cr4 = (IsNarrow(shape) ? Cr4.PSE : Cr4.PAE) | (smep ? Cr4.SMEP : 0) | (smap ? Cr4.SMAP : 0);
        state.Efer = (isLong ? Efer.LME | Efer.LMA : 0) | (nxe ? Efer.NXE : 0);
        state.Rflags = Rflags.Reserved1 | (ac ? Rflags.AC : 0);
    }

    public static TheoryData<Shape, int, ulong> ReservedBits => new()
    {
        { Shape.Long4K, 0, Large },
        { Shape.Long4K, 0, 1ul << 40 },
        { Shape.Long4K, 1, 1ul << 51 },
        { Shape.Long4K, 3, 1ul << 45 },
        { Shape.Long2M, 2, 1ul << 13 },
        { Shape.Long2M, 2, 1ul << 20 },
        { Shape.Long1G, 1, 1ul << 29 },
        { Shape.Pae4K, 0, 1ul << 1 },
        { Shape.Pae4K, 0, 1ul << 8 },
        { Shape.Pae4K, 1, 1ul << 62 },
        { Shape.Pae2M, 1, 1ul << 13 },
        { Shape.Narrow4M, 0, 1ul << 21 },
    };

    [Theory]
    [MemberData(nameof(ReservedBits))]
    public void AReservedBitIsAPageFaultThatSaysSo(Shape shape, int level, ulong bit)
    {
        using CpuBench bench = new();
        List<ulong> entries = Build(bench, shape, Present | Writable | User, Present | Writable | User);
        SetMode(bench, shape, wp: true, smep: false, smap: false, ac: false, nxe: true);
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Read, user: true, out _));
        if (IsNarrow(shape))
            bench.Write(entries[level], (uint)(bench.Read<uint>(entries[level]) | bit));
        else
            bench.Write(entries[level], bench.Read<ulong>(entries[level]) | bit);
        Assert.False(Paging.Translate(bench.C, Linear, PageAccess.Read, user: true, out _));
        Assert.Equal(4u | 9u, bench.Fault.ErrorCode);
    }

    [Fact]
    public void TablesOutsideOfRamReadAsAllOnes()
    {
        using CpuBench bench = new();
        SetMode(bench, Shape.Long4K, wp: true, smep: false, smap: false, ac: false, nxe: true);
        bench.State.Cr3 = 0x8000_0000;
        Assert.False(Paging.Translate(bench.C, Linear, PageAccess.Read, user: false, out _));
        Assert.Equal(9u, bench.Fault.ErrorCode);

        SetMode(bench, Shape.Narrow4K, wp: true, smep: false, smap: false, ac: false, nxe: false);
        bench.State.Cr3 = 0x8000_0000;
        bench.State.Cr4 = 0;
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Write, user: true, out PageTranslation translation));
        Assert.Equal(0xffff_f000 | (Linear & 0xfff), translation.Physical);
    }

    [Fact]
    public void ASystemStructureIsNeverExcusedFromSmapAndIsNoUserAccess()
    {
        using CpuBench bench = new();
        Build(bench, Shape.Long4K, Present | Writable | User, Present | Writable | User);
        SetMode(bench, Shape.Long4K, wp: true, smep: false, smap: true, ac: true, nxe: true);
        bench.State.Ss.Attributes |= 3 << 5;
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Read, user: false, out _));
        Assert.False(Paging.TranslateSystem(bench.C, Linear, PageAccess.Read, out _));
        Assert.Equal(1u, bench.Fault.ErrorCode);
    }

    [Fact]
    public void AReadOfACleanPageDoesNotPermitWritesAndGlobalNeedsPge()
    {
        using CpuBench bench = new();
        Build(bench, Shape.Long4K, Present | Writable | User, Present | Writable | User | Global);
        SetMode(bench, Shape.Long4K, wp: true, smep: false, smap: false, ac: false, nxe: true);
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Read, user: true, out PageTranslation read));
        Assert.False(read.MayWrite);
        Assert.False(read.Global);
        bench.State.Cr4 |= Cr4.PGE;
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Write, user: true, out _));
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Read, user: true, out PageTranslation again));
        Assert.True(again.MayWrite);
        Assert.True(again.Global);
    }

    [Fact]
    public void SettingFlagsTellsTheCodeWatcherOnceAndOnlyWhenTheyChange()
    {
        using CpuBench bench = new();
        RecordingCaches caches = new();
        bench.Vcpu.Code = caches;
        caches.CodePages.Add((Root + 0x3000) >> 12);
        Build(bench, Shape.Long4K, Present | Writable | User, Present | Writable | User);
        SetMode(bench, Shape.Long4K, wp: true, smep: false, smap: false, ac: false, nxe: true);
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Write, user: true, out _));
        Assert.True(Paging.Translate(bench.C, Linear, PageAccess.Write, user: true, out _));
        Assert.Equal((Root + 0x3000 + (Linear >> 12 & 511) * 8, 8), Assert.Single(caches.Writes));
    }

    [Theory]
    [InlineData(0x0000_7fff_ffff_ffff, true)]
    [InlineData(0x0000_8000_0000_0000, false)]
    [InlineData(0xffff_7fff_ffff_ffff, false)]
    [InlineData(0xffff_8000_0000_0000, true)]
    public void CanonicalMeansThatTheTopSeventeenBitsAreEqual(ulong address, bool canonical) => Assert.Equal(canonical, Paging.IsCanonical(address));
}
