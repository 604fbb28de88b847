using System.Runtime.InteropServices;
using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>
/// A check that does not find its page in the TLB, with the entry in the second scratch register and, in the first, the
/// linear address without the entry's tag.
/// </summary>
/// <param name="Begins">Where the check begins, to be made again once the entry is there: the flags are where they are at the miss.</param>
/// <param name="Tag">Where an entry has the tag that was compared.</param>
/// <param name="Size">Bytes of the access; 0: there is no such check.</param>
/// <param name="Writes">Whether it asks for the right to write.</param>
/// <param name="IsAligned">Whether the address must be a multiple of the size: where it is not, the page is not even looked for.</param>
internal readonly record struct Miss(int Begins, int Tag, int Size, bool Writes, bool IsAligned = false);

/// <summary>What code that leaves for a miss tells of it; it lies in the code, right for any place of it.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal unsafe struct MissRecord
{
    /// <summary>The access writes; its address must be a multiple of its size.</summary>
    public const byte Write = 1, Aligned = 2;

    /// <summary>The instruction's op, to go on with where the TLB cannot have the entry.</summary>
    public Op* Op;

    /// <summary>Where the way back to the check begins, from the record on.</summary>
    public int Begins;

    /// <summary>Bytes of the access.</summary>
    public ushort Size;

    /// <summary><see cref="Write"/>, <see cref="Aligned"/>.</summary>
    public byte Access;

    /// <summary>What of the budget the op does not run.</summary>
    public byte Uncharged;
}
