namespace Godwit.Engine.Interpreter;

/// <summary>
/// Which entries of a table have been filled since it was last cleared, so that clearing costs what was used and not
/// the table's size.
/// </summary>
internal sealed class FillLog(int entries)
{
    private readonly ushort[] _indices = new ushort[entries];
    private readonly ulong[] _seen = new ulong[(entries + 63) / 64];
    private int _count;

    public ReadOnlySpan<ushort> Filled => _indices.AsSpan(0, _count);

    public bool Contains(int index) => (_seen[index >> 6] >> index & 1) != 0;

    public void Add(int index)
    {
        ref ulong word = ref _seen[index >> 6];
        ulong bit = 1ul << index;
        if ((word & bit) != 0)
            return;
        word |= bit;
        _indices[_count++] = (ushort)index;
    }

    public void Clear()
    {
        foreach (ushort index in Filled)
            _seen[index >> 6] = 0;
        _count = 0;
    }
}
