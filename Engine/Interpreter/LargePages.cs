using System.Numerics;

namespace Godwit.Engine.Interpreter;

/// <summary>The large pages of which 4 KiB pieces may be cached: dropping one such page means dropping pieces that may stand anywhere.</summary>
internal sealed class LargePages
{
    // Page sizes are powers of two of at least 2 MiB, so that a page's address has room for log2 of its size.
    private readonly HashSet<ulong> _pages = [];
    private ulong _last;

    public void Add(ulong linear, ulong size)
    {
        ulong key = Key(linear, BitOperations.Log2(size));
        if (key == _last)
            return;
        _last = key;
        _pages.Add(key);
    }

    /// <summary>Whether a page lies in a large one; <paramref name="shift"/> is log2 of the largest such.</summary>
    public bool Covers(ulong linear, out int shift)
    {
        shift = 0;
        if (_pages.Count == 0)
            return false;
        foreach (int size in (ReadOnlySpan<int>)[30, 22, 21])
            if (_pages.Contains(Key(linear, size)))
            {
                shift = size;
                return true;
            }
        return false;
    }

    /// <summary>No piece of the large pages that cover a page is cached any more.</summary>
    public void Remove(ulong linear)
    {
        foreach (int size in (ReadOnlySpan<int>)[30, 22, 21])
            _pages.Remove(Key(linear, size));
        _last = 0;
    }

    public void Clear()
    {
        _pages.Clear();
        _last = 0;
    }

    private static ulong Key(ulong linear, int shift) => (linear >> shift << shift) | (uint)shift;
}
