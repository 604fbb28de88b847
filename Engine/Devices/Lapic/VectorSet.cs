using System.Numerics;

namespace Godwit.Engine.Devices.Lapic;

/// <summary>256 bits, one a vector: the layout of ISR, TMR and IRR as eight 32-bit registers.</summary>
internal sealed class VectorSet
{
    private readonly uint[] _words = new uint[8];

    internal uint this[int word]
    {
        get => _words[word];
        set => _words[word] = value;
    }

    internal bool Contains(byte vector) => (_words[vector >> 5] >> (vector & 31) & 1) != 0;

    internal void Add(byte vector) => _words[vector >> 5] |= 1u << (vector & 31);

    internal void Remove(byte vector) => _words[vector >> 5] &= ~(1u << (vector & 31));

    internal void Clear() => Array.Clear(_words);

    /// <summary>The highest vector in the set, -1 when it is empty.</summary>
    internal int Highest
    {
        get
        {
            for (int word = 7; word >= 0; word--)
                if (_words[word] != 0)
                    return word * 32 + BitOperations.Log2(_words[word]);
            return -1;
        }
    }

    internal int Count
    {
        get
        {
            int count = 0;
            foreach (uint word in _words)
                count += BitOperations.PopCount(word);
            return count;
        }
    }
}
