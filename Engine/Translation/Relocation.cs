namespace Godwit.Engine.Translation;

/// <summary>What bytes of a translation are made of that another place, RIP or vCPU would make otherwise.</summary>
internal enum RelocationKind : byte
{
    /// <summary>4 bytes, relative to their end: code that all translations of a vCPU share.</summary>
    Shared,

    /// <summary>4 bytes: an offset in the code mapping of the translation's own code.</summary>
    Offset,

    /// <summary>A RIP of the guest's, or an address that is relative to one, as <see cref="HostEmitter.Constant"/> encodes it.</summary>
    Place,

    /// <summary>The same of a branch's target, which lies on the same side of the branch everywhere.</summary>
    Target,

    /// <summary>4 bytes, sign-extended in 64-bit code: a RIP.</summary>
    Immediate,

    /// <summary>A RIP as <see cref="HostEmitter.Constant"/> encodes it, where it does not fit in a sign-extended <see cref="Immediate"/>.</summary>
    Wide,

    /// <summary>The displacement of a RIP's entry in the jump cache: 0, 1 or 4 bytes.</summary>
    Entry,

    /// <summary>8 bytes: the address of an op.</summary>
    Op,

    /// <summary>4 bytes: a link's number.</summary>
    Link,
}

/// <summary>Bytes at an offset that depend on a value: a RIP, an op's address, a link's number.</summary>
/// <param name="Offset">Where they lie.</param>
/// <param name="Kind">What they are.</param>
/// <param name="Detail">Of a jump cache's entry, what is added to its displacement.</param>
/// <param name="Value">What they are made of.</param>
internal readonly record struct Relocation(int Offset, RelocationKind Kind, byte Detail, ulong Value);
