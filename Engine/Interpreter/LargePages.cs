namespace Godwit.Engine.Interpreter;

/// <summary>The large pages of which 4 KiB pieces may be cached: dropping one such page means dropping pieces that may stand anywhere.</summary>
internal sealed class LargePages
{
    // Page sizes are powers of two of at least 2 MiB, so that a page's address has room for log2 of its size.
    private readonly HashSet<ulong> _pages = [];

    public void Add(ulong linear, ulong size) => _pages.Add(Key(linear, System.Numerics.BitOperations.Log2(size)));

    public bool Covers(ulong linear)
    {
        if (_pages.Count == 0)
            return false;
        return _pages.Contains(Key(linear, 21)) || _pages.Contains(Key(linear, 22)) || _pages.Contains(Key(linear, 30));
    }

    public void Clear() => _pages.Clear();

    private static ulong Key(ulong linear, int shift) => (linear >> shift << shift) | (uint)shift;
}
