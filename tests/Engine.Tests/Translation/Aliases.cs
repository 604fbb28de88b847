using Godwit.Engine.Tests.Interpreter;

namespace Godwit.Engine.Tests.Translation;

/// <summary>
/// The same memory at other linear addresses, in pages of 2 MiB: addresses where constants have another encoding, and
/// where they only just have the same.
/// </summary>
internal static class Aliases
{
    public const ulong Bytes = 2 << 20;

    /// <summary>On both sides of 2 GiB, 4 GiB, the ends of the canonical halves, and 2 GiB from the top.</summary>
    public static IReadOnlyList<ulong> Bases { get; } =
    [
        0x5555_5540_0000, 0x7fe0_0000, 0x8000_0000, 0xffe0_0000, 0x1_0000_0000, 0x7f12_3460_0000, 0x7fff_ffe0_0000,
        0xffff_8000_0000_0000, 0xffff_ffff_7fe0_0000, 0xffff_ffff_8000_0000, 0xffff_ffff_c0e0_0000, 0xffff_ffff_ffe0_0000,
    ];

    /// <summary>Maps a frame at a base, in an address space.</summary>
    /// <param name="machine">The machine, in 64-bit mode.</param>
    /// <param name="root">The address of the PML4.</param>
    /// <param name="free">Zeroed pages for tables, two at most; moves on.</param>
    /// <param name="at">The linear address.</param>
    /// <param name="frame">The physical address.</param>
    public static void Map(TestMachine machine, ulong root, ref ulong free, ulong at, ulong frame = 0)
    {
        ulong table = root;
        for (int shift = 39; shift > 21; shift -= 9)
        {
            ulong entry = table + (at >> shift & 511) * 8;
            if (machine.Read(entry) == 0)
            {
                machine.Write(entry, free | 7);
                free += 0x1000;
            }
            table = machine.Read(entry) & ~0xffful;
        }
        machine.Write(table + (at >> 21 & 511) * 8, frame | 0x87);
    }
}
