namespace Godwit.Engine.Memory;

/// <summary>A byte address in the guest's physical address space.</summary>
public readonly record struct GuestPhysicalAddress(ulong Value) : IComparable<GuestPhysicalAddress>
{
    /// <summary>The page that holds the byte.</summary>
    public PageNumber Page => new(Value >> PageNumber.Shift);

    /// <summary>The byte's offset in its page, 0 to 4095.</summary>
    public int Offset => (int)(Value & (PageNumber.Size - 1));

    public int CompareTo(GuestPhysicalAddress other) => Value.CompareTo(other.Value);

    public static GuestPhysicalAddress operator +(GuestPhysicalAddress left, ulong right) => new(left.Value + right);

    public static bool operator <(GuestPhysicalAddress left, GuestPhysicalAddress right) => left.Value < right.Value;

    public static bool operator >(GuestPhysicalAddress left, GuestPhysicalAddress right) => left.Value > right.Value;

    public static bool operator <=(GuestPhysicalAddress left, GuestPhysicalAddress right) => left.Value <= right.Value;

    public static bool operator >=(GuestPhysicalAddress left, GuestPhysicalAddress right) => left.Value >= right.Value;

    public override string ToString() => $"gpa 0x{Value:x}";
}

/// <summary>A linear address as guest code uses it, after segmentation and before paging.</summary>
public readonly record struct GuestVirtualAddress(ulong Value)
{
    public override string ToString() => $"gva 0x{Value:x}";
}

/// <summary>A 4 KiB page of guest physical memory, numbered from 0.</summary>
public readonly record struct PageNumber(ulong Value)
{
    /// <summary>log2 of the page size.</summary>
    public const int Shift = 12;

    /// <summary>Bytes in a page.</summary>
    public const int Size = 1 << Shift;

    /// <summary>The address of the page's first byte.</summary>
    public GuestPhysicalAddress Address => new(Value << Shift);

    public override string ToString() => $"page 0x{Value:x}";
}

/// <summary>A run of pages.</summary>
public readonly record struct PageRange(PageNumber First, int Count)
{
    /// <summary>The page after the last one.</summary>
    public PageNumber End => new(First.Value + (ulong)Count);

    public override string ToString() => $"pages 0x{First.Value:x} to 0x{End.Value:x}";
}
