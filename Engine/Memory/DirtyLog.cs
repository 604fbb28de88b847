using System.Collections.Concurrent;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Godwit.Engine.Memory;

/// <summary>A thread that writes guest memory and may cache the permission to do so without marking (a vCPU with its software TLB).</summary>
public interface IDirtyWriter
{
    /// <summary>
    /// Drops every cached write permission and returns once the writer has passed a safe point since the call: every
    /// store made under an old permission is in memory, and the next write to any page marks again. May be called from
    /// several threads at once. On the writer's own thread (in a hypercall, which is a safe point) it drops and returns;
    /// a writer that waits in such a call counts as standing at a safe point, as one that is paused or halted does.
    /// </summary>
    void RevokeWritePermissions();
}

/// <summary>
/// One log of written pages, fanned out to every open session (migration, checkpoint, oracle), and the set of pages
/// that the guest has declared free. The order of the steps here is what keeps pages from being lost; docs/memory.md
/// gives the argument.
/// </summary>
public sealed class DirtyLog(int pageCount)
{
    private readonly ConcurrentDictionary<IDirtyWriter, byte> _writers = new();
    private readonly Lock _opening = new();
    private readonly ulong[] _free = new ulong[(pageCount + 63) / 64];
    private DirtySession[] _sessions = [];

    /// <summary>Pages the log covers.</summary>
    public int PageCount { get; } = pageCount;

    /// <summary>Pages declared free and not written since.</summary>
    public long FreePageCount
    {
        get
        {
            long count = 0;
            for (int i = 0; i < _free.Length; i++)
                count += BitOperations.PopCount(Volatile.Read(ref _free[i]));
            return count;
        }
    }

    /// <summary>Adds a writer that every collection must wait for.</summary>
    public void Attach(IDirtyWriter writer) => _writers.TryAdd(writer, 0);

    /// <summary>Removes a writer; it must not write any more.</summary>
    public void Detach(IDirtyWriter writer) => _writers.TryRemove(writer, out _);

    /// <summary>
    /// Opens a session. Every write from now on is marked in it: permissions cached before are revoked, so memory read
    /// after this returns, together with the session's pages, is complete.
    /// </summary>
    public DirtySession Open(string name)
    {
        DirtySession session = new(this, name);
        lock (_opening)
            Volatile.Write(ref _sessions, [.. _sessions, session]);
        RevokeWritePermissions();
        return session;
    }

    /// <summary>Marks a page written in every open session; it is no longer free. Any thread, after the store it marks.</summary>
    public void Mark(PageNumber page)
    {
        // The store must be visible before the marks are looked at: a mark found set may be cleared, and the page read,
        // between the look and a store still in this processor's buffer.
        Interlocked.MemoryBarrier();
        MarkBeforeStore(page);
    }

    /// <summary>
    /// <see cref="Mark"/> for an attached writer that stores after marking, under a permission that it keeps until its
    /// next revocation and no longer: the revocation's wait replaces the order of store and mark.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void MarkBeforeStore(PageNumber page)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(page.Value, (ulong)PageCount);
        int word = (int)(page.Value >> 6);
        ulong bit = 1UL << (int)page.Value;
        // Free is cleared before dirty is set: who finds the page dirty must find it not free.
        if ((Volatile.Read(ref _free[word]) & bit) != 0)
            Interlocked.And(ref _free[word], ~bit);
        foreach (DirtySession session in Volatile.Read(ref _sessions))
            session.Mark(word, bit);
    }

    /// <summary>
    /// The guest declares that the contents of these pages need not survive until they are written again: they are
    /// clean in every open session and read as free until then. What lies outside of RAM is ignored. Returns once no
    /// writer can still write them without marking. On a vCPU's thread this must be at a safe point of that vCPU.
    /// </summary>
    public void DeclareFree(IReadOnlyList<PageRange> ranges)
    {
        foreach (PageRange range in ranges)
            for (ulong page = range.First.Value, end = EndInRam(range); page < end; page = (page | 63) + 1)
            {
                int word = (int)(page >> 6);
                ulong bits = ulong.MaxValue << (int)page;
                if (end >> 6 == page >> 6)
                    bits &= (1UL << (int)end) - 1;
                // Dirty is cleared before free is set, the reverse of Mark: whatever interleaves, a page that is
                // neither dirty nor free has been sent as it is.
                foreach (DirtySession session in Volatile.Read(ref _sessions))
                    session.Unmark(word, bits);
                Interlocked.Or(ref _free[word], bits);
            }
        RevokeWritePermissions();
    }

    /// <summary>Whether the page is declared free and has not been written since: it counts as zero, and need not be sent or kept.</summary>
    public bool IsFree(PageNumber page) =>
        page.Value < (ulong)PageCount && (Volatile.Read(ref _free[page.Value >> 6]) >> (int)page.Value & 1) != 0;

    /// <summary>The pages declared free, as ascending runs; a moment's value while the guest runs.</summary>
    public IReadOnlyList<PageRange> FreeRanges()
    {
        PageBitmap now = new(PageCount);
        for (int i = 0; i < _free.Length; i++)
            now.Words[i] = Volatile.Read(ref _free[i]);
        return now.Runs();
    }

    internal void RevokeWritePermissions()
    {
        foreach (KeyValuePair<IDirtyWriter, byte> writer in _writers)
            writer.Key.RevokeWritePermissions();
    }

    internal void Close(DirtySession session)
    {
        lock (_opening)
            Volatile.Write(ref _sessions, [.. _sessions.Where(other => other != session)]);
    }

    private ulong EndInRam(PageRange range)
    {
        if (range.Count <= 0 || range.First.Value >= (ulong)PageCount)
            return 0;
        return Math.Min(range.First.Value + (ulong)range.Count, (ulong)PageCount);
    }
}
