using System.Runtime.CompilerServices;
using Godwit.Engine.Host;

namespace Godwit.Engine.Memory;

/// <summary>What a resolver of a page means to do with it.</summary>
public enum Access
{
    Read,
    Write,
    Execute,
}

/// <summary>
/// The guest's RAM: one memfd mapping, contiguous from guest physical address 0. Pages never touched are holes of the
/// memfd and cost nothing. Writers follow the order of docs/migration.md: store first, then mark.
/// </summary>
public sealed unsafe class GuestMemory : IDisposable
{
    private readonly GuestRamMapping _ram;

    /// <summary>Maps <paramref name="bytes"/> of RAM, a positive multiple of the page size.</summary>
    public GuestMemory(ulong bytes)
    {
        if (bytes == 0 || bytes % PageNumber.Size != 0)
            throw new ArgumentOutOfRangeException(nameof(bytes), bytes, "guest memory must be a positive multiple of 4096 bytes");
        _ram = new GuestRamMapping(bytes);
        Dirty = new DirtyLog(PageCount);
    }

    /// <summary>Bytes of RAM.</summary>
    public ulong Size => _ram.Size;

    /// <summary>Pages of RAM.</summary>
    public int PageCount => (int)(Size >> PageNumber.Shift);

    /// <summary>Which pages were written, by session.</summary>
    public DirtyLog Dirty { get; }

    /// <summary>The memfd, for hole-aware scans.</summary>
    internal GuestRamMapping Ram => _ram;

    /// <summary>
    /// The host address of a RAM page, or null where there is no RAM. With <see cref="Access.Write"/> the page is
    /// marked dirty in every open session; the pointer may be kept until the next safe point and no longer.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Resolve(PageNumber page, Access access)
    {
        if (page.Value >= (ulong)PageCount)
            return null;
        if (access == Access.Write)
            Dirty.Mark(page);
        return _ram.Base + (page.Value << PageNumber.Shift);
    }

    /// <summary>Whether the whole range is RAM.</summary>
    public bool Contains(GuestPhysicalAddress address, ulong length) => address.Value <= Size && length <= Size - address.Value;

    /// <summary>Copies from RAM; false (and nothing copied) where the range is not all RAM.</summary>
    public bool TryRead(GuestPhysicalAddress address, Span<byte> destination)
    {
        if (!Contains(address, (ulong)destination.Length))
            return false;
        new ReadOnlySpan<byte>(_ram.Base + address.Value, destination.Length).CopyTo(destination);
        return true;
    }

    /// <summary>Copies to RAM as a device or loader does, marking after the store; false (and nothing stored) where the range is not all RAM.</summary>
    public bool TryWrite(GuestPhysicalAddress address, ReadOnlySpan<byte> source)
    {
        if (!Contains(address, (ulong)source.Length))
            return false;
        if (source.Length == 0)
            return true;
        source.CopyTo(new Span<byte>(_ram.Base + address.Value, source.Length));
        ulong last = (address.Value + (ulong)source.Length - 1) >> PageNumber.Shift;
        for (ulong page = address.Page.Value; page <= last; page++)
            Dirty.Mark(new PageNumber(page));
        return true;
    }

    public void Dispose() => _ram.Dispose();
}
