using System.Buffers;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Checkpoint;

/// <summary>
/// Where pages wait that were copied while the guest stood still, so that it need not wait for the file. Its room is
/// taken and touched before: a page fault of the host's is no business of the guest's.
/// </summary>
internal sealed class PageStage : IDisposable
{
    /// <summary>Pages in one piece of it: 1 MiB.</summary>
    public const int PiecePages = 256;

    /// <summary>The most that is copied: 32 MiB.</summary>
    public const int MaxPages = 32 * PiecePages;

    private readonly List<byte[]> _pieces = [];
    private readonly List<PageNumber> _pages = [];

    public int Count => _pages.Count;

    /// <summary>Makes room for so many pages, at most <see cref="MaxPages"/>.</summary>
    public void Reserve(long pages)
    {
        long wanted = (Math.Min(pages, MaxPages) + PiecePages - 1) / PiecePages;
        while (_pieces.Count < wanted)
        {
            byte[] piece = ArrayPool<byte>.Shared.Rent(PiecePages * PageNumber.Size);
            piece.AsSpan().Clear();
            _pieces.Add(piece);
        }
    }

    /// <summary>Copies a page; false where there is no room for it.</summary>
    public bool TryAdd(GuestMemory memory, PageNumber page)
    {
        if (_pages.Count == MaxPages)
            return false;
        Reserve(_pages.Count + 1);
        _pages.Add(page);
        memory.TryRead(page.Address, Slot(_pages.Count - 1));
        return true;
    }

    public PageNumber PageAt(int index) => _pages[index];

    public ReadOnlySpan<byte> ContentsAt(int index) => Slot(index);

    public void Dispose()
    {
        foreach (byte[] piece in _pieces)
            ArrayPool<byte>.Shared.Return(piece);
        _pieces.Clear();
        _pages.Clear();
    }

    private Span<byte> Slot(int index) => _pieces[index / PiecePages].AsSpan(index % PiecePages * PageNumber.Size, PageNumber.Size);
}
