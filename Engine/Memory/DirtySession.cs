using System.Numerics;
using System.Runtime.CompilerServices;

namespace Godwit.Engine.Memory;

/// <summary>
/// One reader of the dirty log (a migration, a checkpoint, a drill's oracle): the pages written since it was opened or
/// last collected. Sessions do not disturb one another. Collecting is for one thread; marking is for any.
/// </summary>
public sealed class DirtySession : IDisposable
{
    private readonly DirtyLog _log;
    private readonly ulong[] _words;

    internal DirtySession(DirtyLog log, string name)
    {
        _log = log;
        Name = name;
        _words = new ulong[(log.PageCount + 63) / 64];
    }

    /// <summary>What the session is for, as shown to people.</summary>
    public string Name { get; }

    /// <summary>Pages written and not yet collected; a moment's value while the guest runs.</summary>
    public long Count
    {
        get
        {
            long count = 0;
            for (int i = 0; i < _words.Length; i++)
                count += BitOperations.PopCount(Volatile.Read(ref _words[i]));
            return count;
        }
    }

    /// <summary>
    /// Adds the written pages to <paramref name="pages"/> and forgets them here. In this order: clears, revokes cached
    /// write permissions, waits until every writer has passed a safe point; only after it returns may the pages be
    /// read. A write after that is in the next collection, so a page read torn is read again. Returns how many pages
    /// were not yet in the set.
    /// </summary>
    public long Collect(PageBitmap pages)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(pages.PageCount, _log.PageCount);
        Span<ulong> into = pages.Words;
        long added = 0;
        for (int i = 0; i < _words.Length; i++)
        {
            if (Volatile.Read(ref _words[i]) == 0)
                continue;
            ulong taken = Interlocked.Exchange(ref _words[i], 0);
            added += BitOperations.PopCount(taken & ~into[i]);
            into[i] |= taken;
        }
        _log.RevokeWritePermissions();
        return added;
    }

    /// <summary>Closes the session; what it has not collected is forgotten.</summary>
    public void Dispose() => _log.Close(this);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Mark(int word, ulong bit)
    {
        ref ulong target = ref _words[word];
        if ((Volatile.Read(ref target) & bit) == 0)
            Interlocked.Or(ref target, bit);
    }

    internal void Unmark(int word, ulong bits) => Interlocked.And(ref _words[word], ~bits);
}
