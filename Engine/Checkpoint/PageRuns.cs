using System.Buffers.Binary;
using Godwit.Engine.Memory;
using Godwit.Engine.Snapshot;

namespace Godwit.Engine.Checkpoint;

/// <summary>Writes pages as they come into sections of runs, hashes them, and gathers those that are zero.</summary>
internal sealed class PageRuns(SectionWriter sections, PageHashTree tree)
{
    private readonly byte[] _chunk = new byte[SnapshotFormat.ChunkHeaderBytes + SnapshotFormat.ChunkBytes];
    private readonly List<PageRange> _zeros = [];
    private PageNumber _first;
    private int _pages;

    /// <summary>Pages with contents so far.</summary>
    public long Pages { get; private set; }

    /// <summary>Pages of zeros so far.</summary>
    public long ZeroPages { get; private set; }

    /// <summary>Where the next page's contents are to be put before <see cref="AddAsync"/>.</summary>
    public Memory<byte> Slot => _chunk.AsMemory(SnapshotFormat.ChunkHeaderBytes + _pages * PageNumber.Size, PageNumber.Size);

    /// <summary>Makes sure that <see cref="Slot"/> is the one for this page: a page that does not follow begins a new run.</summary>
    public async ValueTask BeginAsync(PageNumber page)
    {
        if (_pages == SnapshotFormat.ChunkPages || (_pages > 0 && page.Value != _first.Value + (ulong)_pages))
            await FlushRunAsync().ConfigureAwait(false);
    }

    /// <summary>Adds the page whose contents stand in <see cref="Slot"/>.</summary>
    public void Add(PageNumber page)
    {
        UInt128 hash = PageHashTree.HashPage(Slot.Span);
        if (hash == UInt128.Zero)
        {
            AddZero(page);
            return;
        }
        tree.Set(page, hash);
        _first = _pages++ == 0 ? page : _first;
        Pages++;
    }

    public void AddZero(PageNumber page)
    {
        tree.Set(page, UInt128.Zero);
        ZeroPages++;
        if (_zeros.Count > 0 && _zeros[^1].End == page)
            _zeros[^1] = new PageRange(_zeros[^1].First, _zeros[^1].Count + 1);
        else
            _zeros.Add(new PageRange(page, 1));
    }

    /// <summary>Everything gathered so far is in the file; what comes later replaces what came before.</summary>
    public async Task FlushAsync()
    {
        await FlushRunAsync().ConfigureAwait(false);
        foreach (PageRange[] ranges in _zeros.Chunk(SnapshotFormat.ZeroRanges))
        {
            byte[] payload = new byte[ranges.Length * 8];
            for (int i = 0; i < ranges.Length; i++)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(payload.AsSpan(i * 8), (uint)ranges[i].First.Value);
                BinaryPrimitives.WriteInt32LittleEndian(payload.AsSpan(i * 8 + 4), ranges[i].Count);
            }
            await sections.WriteAsync(SnapshotFormat.Zero, true, payload).ConfigureAwait(false);
        }
        _zeros.Clear();
    }

    private async Task FlushRunAsync()
    {
        if (_pages == 0)
            return;
        _chunk[0] = (byte)RamEncoding.Raw;
        BinaryPrimitives.WriteUInt32LittleEndian(_chunk.AsSpan(1), (uint)_first.Value);
        BinaryPrimitives.WriteInt32LittleEndian(_chunk.AsSpan(5), _pages);
        ReadOnlyMemory<byte> section = _chunk.AsMemory(0, SnapshotFormat.ChunkHeaderBytes + _pages * PageNumber.Size);
        _pages = 0;
        await sections.WriteAsync(SnapshotFormat.Ram, true, section).ConfigureAwait(false);
    }
}
