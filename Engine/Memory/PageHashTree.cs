using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace Godwit.Engine.Memory;

/// <summary>
/// Hashes of pages kept as pages are sent or received, with a root that two sides compare. A leaf is the XxHash128 of a
/// page's 4096 bytes, 0 for a page of zeros; 256 leaves make a node, the nodes make the root. Nodes whose pages are all
/// zero take no memory. Not safe against an adversary who picks pages to collide: it guards against loss and error.
/// </summary>
public sealed class PageHashTree(int pageCount)
{
    private const int Fan = 256;

    private readonly UInt128[]?[] _leaves = new UInt128[]?[(pageCount + Fan - 1) / Fan];
    private readonly UInt128[] _nodes = new UInt128[(pageCount + Fan - 1) / Fan];
    private readonly PageBitmap _stale = new((pageCount + Fan - 1) / Fan);

    /// <summary>Pages covered.</summary>
    public int PageCount { get; } = pageCount;

    /// <summary>The leaf of a page's contents (4096 bytes).</summary>
    public static UInt128 HashPage(ReadOnlySpan<byte> page) => IsZero(page) ? UInt128.Zero : XxHash128.HashToUInt128(page);

    /// <summary>Whether all bytes are 0.</summary>
    public static bool IsZero(ReadOnlySpan<byte> page) => page.IndexOfAnyExcept((byte)0) < 0;

    /// <summary>Records the page's present hash, see <see cref="HashPage"/>.</summary>
    public void Set(PageNumber page, UInt128 hash)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(page.Value, (ulong)PageCount);
        int node = (int)(page.Value / Fan);
        if (_leaves[node] is not { } leaves)
        {
            if (hash == UInt128.Zero)
                return;
            _leaves[node] = leaves = new UInt128[Fan];
        }
        leaves[page.Value % Fan] = hash;
        _stale.Add(new PageNumber((ulong)node));
    }

    /// <summary>The recorded hash of a page; 0 where none was recorded.</summary>
    public UInt128 Get(PageNumber page)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(page.Value, (ulong)PageCount);
        return _leaves[page.Value / Fan]?[page.Value % Fan] ?? UInt128.Zero;
    }

    /// <summary>The hash over all pages; recomputes only nodes that changed since the last call.</summary>
    public UInt128 Root()
    {
        foreach (PageNumber node in _stale.Pages())
        {
            UInt128[] leaves = _leaves[node.Value]!;
            bool empty = leaves.AsSpan().IndexOfAnyExcept(UInt128.Zero) < 0;
            // An all-zero node is the same whether it was ever anything else or not.
            _nodes[node.Value] = empty ? UInt128.Zero : XxHash128.HashToUInt128(MemoryMarshal.AsBytes(leaves.AsSpan()));
            if (empty)
                _leaves[node.Value] = null;
        }
        _stale.Clear();
        return XxHash128.HashToUInt128(MemoryMarshal.AsBytes(_nodes.AsSpan()), PageCount);
    }
}
