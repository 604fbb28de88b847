using System.Runtime.CompilerServices;

namespace Godwit.Engine.Memory;

/// <summary>Who must hear of device writes into pages that hold decoded code. Called on the writing thread, after the store.</summary>
public interface IPageWriteObserver
{
    void PageWritten(PageNumber page);
}

/// <summary>
/// The pages from which code has been decoded. A back end adds the page before it reads the bytes that it decodes;
/// a device write looks after it has stored, with a fence between; so one of the two always sees the other. A back
/// end's own stores do not come by here: it looks when it takes the write permission for a page.
/// </summary>
public sealed class CodePages(int pageCount)
{
    private readonly ulong[] _words = new ulong[(pageCount + 63) / 64];
    private readonly Lock _observing = new();
    private IPageWriteObserver[] _observers = [];

    /// <summary>Adds one who is told of device writes to code pages (each vCPU's block cache).</summary>
    public void Observe(IPageWriteObserver observer)
    {
        lock (_observing)
            Volatile.Write(ref _observers, [.. _observers, observer]);
    }

    public void Unobserve(IPageWriteObserver observer)
    {
        lock (_observing)
            Volatile.Write(ref _observers, [.. _observers.Where(other => other != observer)]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Contains(PageNumber page) => (Volatile.Read(ref _words[page.Value >> 6]) >> (int)page.Value & 1) != 0;

    public void Add(PageNumber page) => Interlocked.Or(ref _words[page.Value >> 6], 1UL << (int)page.Value);

    public void Remove(PageNumber page) => Interlocked.And(ref _words[page.Value >> 6], ~(1UL << (int)page.Value));

    /// <summary>Tells the observers where the page holds code. The caller has stored and passed a fence.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Written(PageNumber page)
    {
        if (Contains(page))
            Tell(page);
    }

    private void Tell(PageNumber page)
    {
        foreach (IPageWriteObserver observer in Volatile.Read(ref _observers))
            observer.PageWritten(page);
    }
}
