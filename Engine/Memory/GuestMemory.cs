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
/// memfd, read as zeros and cost nothing. How writing, marking and collecting are ordered: docs/memory.md.
/// </summary>
public sealed unsafe class GuestMemory : IDisposable
{
    private readonly GuestRamMapping _ram;
    private readonly Lock _holding = new();
    private int _holders = 1;
    private bool _disposed;

    /// <summary>Maps <paramref name="bytes"/> of RAM, a positive multiple of the page size.</summary>
    public GuestMemory(ulong bytes)
    {
        if (bytes == 0 || bytes % PageNumber.Size != 0 || bytes >> PageNumber.Shift > int.MaxValue)
            throw new ArgumentOutOfRangeException(nameof(bytes), bytes, "guest memory must be a positive multiple of 4096 bytes, less than 8 TiB");
        _ram = new GuestRamMapping(bytes);
        PageCount = (int)(bytes >> PageNumber.Shift);
        Dirty = new DirtyLog(PageCount);
        Code = new CodePages(PageCount);
    }

    /// <summary>Bytes of RAM.</summary>
    public ulong Size => _ram.Size;

    /// <summary>Pages of RAM.</summary>
    public int PageCount { get; }

    /// <summary>Which pages were written, by session, and which are free.</summary>
    public DirtyLog Dirty { get; }

    /// <summary>Pages from which code was decoded.</summary>
    public CodePages Code { get; }

    /// <summary>Bytes of host memory that the RAM uses now; holes not counted.</summary>
    public long ResidentBytes => _ram.AllocatedBytes;

    /// <summary>
    /// The host address of a RAM page, or null where there is no RAM. With <see cref="Access.Write"/> the page is
    /// marked dirty in every open session, before the store; therefore only a thread attached as
    /// <see cref="IDirtyWriter"/> may ask for it, and keep the pointer until its next safe point and no longer.
    /// Everybody else writes by <see cref="TryWrite"/>. A load from a hole allocates the page.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* Resolve(PageNumber page, Access access)
    {
        if (page.Value >= (ulong)PageCount)
            return null;
        if (access == Access.Write)
            Dirty.MarkBeforeStore(page);
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

    /// <summary>
    /// Copies to RAM as a device or loader does, from any thread: stores, then marks, then tells who holds code decoded
    /// from there. False (and nothing stored) where the range is not all RAM.
    /// </summary>
    public bool TryWrite(GuestPhysicalAddress address, ReadOnlySpan<byte> source)
    {
        if (!Contains(address, (ulong)source.Length))
            return false;
        if (source.Length == 0)
            return true;
        source.CopyTo(new Span<byte>(_ram.Base + address.Value, source.Length));
        ulong last = (address.Value + (ulong)source.Length - 1) >> PageNumber.Shift;
        for (ulong page = address.Page.Value; page <= last; page++)
            Written(new PageNumber(page));
        return true;
    }

    /// <summary>Makes the pages zero by giving their memory back. A write like any other: marked, and told to code holders.</summary>
    public void Discard(PageRange range)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(range.Count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(range.First.Value, (ulong)(PageCount - range.Count));
        if (range.Count == 0)
            return;
        _ram.PunchHole((long)range.First.Address.Value, (long)range.Count << PageNumber.Shift);
        for (ulong page = range.First.Value; page < range.End.Value; page++)
            Written(new PageNumber(page));
    }

    /// <summary>Whether the page holds memory. A hole is a zero page and must not be read to find that out: reading allocates it.</summary>
    public bool IsAllocated(PageNumber page) =>
        page.Value < (ulong)PageCount && _ram.SeekData((long)page.Address.Value) == (long)page.Address.Value;

    /// <summary>
    /// The allocated runs of pages, ascending, found as they are asked for. A page allocated behind the walk is not
    /// seen; a dirty session opened before the walk has it.
    /// </summary>
    public IEnumerable<PageRange> AllocatedExtents()
    {
        long from = 0;
        while ((from = _ram.SeekData(from)) >= 0)
        {
            // The memfd's unit is the page, but nothing promises that offsets come back aligned.
            ulong first = (ulong)from >> PageNumber.Shift;
            from = _ram.SeekHole(from);
            ulong end = Math.Min(((ulong)from + PageNumber.Size - 1) >> PageNumber.Shift, (ulong)PageCount);
            yield return new PageRange(new PageNumber(first), (int)(end - first));
        }
    }

    /// <summary>
    /// Keeps the RAM mapped until the result is disposed, whoever disposes the memory meanwhile: for work on threads
    /// that do not belong to the machine. Throws <see cref="ObjectDisposedException"/> where it is too late.
    /// </summary>
    public IDisposable Hold()
    {
        lock (_holding)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _holders++;
        }
        return new Holder(this);
    }

    /// <summary>Gives the memory back, at once or when nobody holds it any more.</summary>
    public void Dispose()
    {
        lock (_holding)
        {
            if (_disposed)
                return;
            _disposed = true;
        }
        LetGo();
    }

    private void LetGo()
    {
        lock (_holding)
            if (--_holders > 0)
                return;
        _ram.Dispose();
    }

    private void Written(PageNumber page)
    {
        Dirty.Mark(page); // passes a fence
        Code.Written(page);
    }

    private sealed class Holder(GuestMemory memory) : IDisposable
    {
        private int _gone;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _gone, 1) == 0)
                memory.LetGo();
        }
    }
}
