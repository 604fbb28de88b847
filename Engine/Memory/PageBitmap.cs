using System.Numerics;

namespace Godwit.Engine.Memory;

/// <summary>A set of pages, one bit each. For one thread; what several threads mark at once is a <see cref="DirtySession"/>.</summary>
public sealed class PageBitmap(int pageCount)
{
    private readonly ulong[] _words = new ulong[(pageCount + 63) / 64];

    /// <summary>Pages that may be in the set.</summary>
    public int PageCount { get; } = pageCount;

    /// <summary>Pages in the set.</summary>
    public long Count
    {
        get
        {
            long count = 0;
            foreach (ulong word in _words)
                count += BitOperations.PopCount(word);
            return count;
        }
    }

    internal Span<ulong> Words => _words;

    public bool Contains(PageNumber page) => page.Value < (ulong)PageCount && (_words[page.Value >> 6] >> (int)page.Value & 1) != 0;

    public void Add(PageNumber page)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(page.Value, (ulong)PageCount);
        _words[page.Value >> 6] |= 1UL << (int)page.Value;
    }

    public void Remove(PageNumber page)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(page.Value, (ulong)PageCount);
        _words[page.Value >> 6] &= ~(1UL << (int)page.Value);
    }

    public void Clear() => Array.Clear(_words);

    /// <summary>The first page of the set at or after <paramref name="from"/>; null where there is none.</summary>
    public PageNumber? Next(PageNumber from)
    {
        if (from.Value >= (ulong)PageCount)
            return null;
        int index = (int)(from.Value >> 6);
        ulong word = _words[index] & (ulong.MaxValue << (int)from.Value);
        while (word == 0)
        {
            if (++index == _words.Length)
                return null;
            word = _words[index];
        }
        return new PageNumber(((ulong)index << 6) + (ulong)BitOperations.TrailingZeroCount(word));
    }

    /// <summary>The pages of the set in ascending order. The set may change meanwhile; pages behind the position are then not seen again.</summary>
    public IEnumerable<PageNumber> Pages()
    {
        for (PageNumber? page = Next(default); page is { } found; page = Next(new PageNumber(found.Value + 1)))
            yield return found;
    }

    /// <summary>The pages of the set as ascending runs.</summary>
    public IReadOnlyList<PageRange> Runs()
    {
        List<PageRange> runs = [];
        foreach (PageNumber page in Pages())
        {
            if (runs.Count > 0 && runs[^1].End == page)
                runs[^1] = new PageRange(runs[^1].First, runs[^1].Count + 1);
            else
                runs.Add(new PageRange(page, 1));
        }
        return runs;
    }
}
