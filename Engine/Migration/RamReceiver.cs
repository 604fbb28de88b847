using System.Buffers.Binary;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Migration;

/// <summary>The target's side of memory: stores what arrives, keeps holes holes, and hashes what it has stored.</summary>
internal sealed class RamReceiver
{
    private readonly GuestMemory _memory;
    private readonly PageBitmap _held;

    /// <summary>Begins with nothing: what building the machine left in its memory is given back.</summary>
    public RamReceiver(GuestMemory memory)
    {
        _memory = memory;
        _held = new PageBitmap(memory.PageCount);
        Stored = new PageHashTree(memory.PageCount);
        foreach (PageRange extent in memory.AllocatedExtents().ToArray())
            memory.Discard(extent);
    }

    /// <summary>Hashes of the pages as they stand in memory here.</summary>
    public PageHashTree Stored { get; }

    public long Pages { get; private set; }

    public long ZeroPages { get; private set; }

    /// <summary>Stores the entries of a Pages frame.</summary>
    public void Store(ReadOnlySpan<byte> payload)
    {
        PageEntries entries = new(payload, _memory.PageCount);
        while (entries.MoveNext())
        {
            Pages++;
            if (entries.Contents.IsEmpty || PageHashTree.IsZero(entries.Contents))
            {
                ZeroPages++;
                Clear(entries.Page);
            }
            else
            {
                Store(entries.Page, entries.Contents);
            }
        }
    }

    /// <summary>Makes holes of the ranges of a Free frame.</summary>
    public void Free(ReadOnlySpan<byte> payload)
    {
        if (payload.Length % 8 != 0)
            throw new LinkException("protocol error: a range of free pages is cut short");
        ulong from = 0;
        for (; !payload.IsEmpty; payload = payload[8..])
        {
            ulong first = BinaryPrimitives.ReadUInt32LittleEndian(payload);
            uint count = BinaryPrimitives.ReadUInt32LittleEndian(payload[4..]);
            // Ascending and apart, so that a frame costs no more than memory is large.
            if (count == 0 || first < from || first + count > (ulong)_memory.PageCount)
                throw new LinkException($"protocol error: free pages 0x{first:x}, {count} of them");
            from = first + count;
            for (PageNumber? page = _held.Next(new PageNumber(first)); page is { } held && held.Value < from; page = _held.Next(held))
                Clear(held);
        }
    }

    private void Store(PageNumber page, ReadOnlySpan<byte> contents)
    {
        _memory.TryWrite(page.Address, contents);
        _held.Add(page);
        Stored.Set(page, PageHashTree.HashPage(contents));
    }

    // Only pages that were stored before hold memory; punching the others would be a system call for nothing.
    private void Clear(PageNumber page)
    {
        if (!_held.Contains(page))
            return;
        _memory.Discard(new PageRange(page, 1));
        _held.Remove(page);
        Stored.Set(page, UInt128.Zero);
    }
}
