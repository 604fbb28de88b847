using System.Runtime.CompilerServices;

namespace Godwit.Engine.Memory;

/// <summary>Who must hear of others' writes into pages that hold its decoded code. Called on the writing thread, after the store.</summary>
public interface IPageWriteObserver
{
    void PageWritten(PageNumber page);
}

/// <summary>
/// The pages from which code has been decoded, for each vCPU's back end that decodes. A back end adds the page before it
/// reads the bytes that it decodes; a device write looks after it has stored, with a fence between; so one of the two
/// always sees the other. A vCPU looks when it takes the write permission for a page, and gives up what it has when
/// another begins to decode (docs/machine.md).
/// </summary>
public sealed class CodePages(int pageCount)
{
    private readonly Lock _joining = new();
    private CodeWatch[] _watches = [];

    /// <summary>Adds one who decodes code.</summary>
    public CodeWatch Join(IPageWriteObserver observer)
    {
        CodeWatch watch = new(this, observer, pageCount);
        lock (_joining)
            Volatile.Write(ref _watches, [.. _watches, watch]);
        return watch;
    }

    /// <summary>Whether anybody has decoded code of the page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Contains(PageNumber page)
    {
        foreach (CodeWatch watch in Volatile.Read(ref _watches))
            if (watch.Contains(page))
                return true;
        return false;
    }

    /// <summary>Tells those who decoded the page's code. The caller has stored and passed a fence.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Written(PageNumber page) => Written(page, null);

    internal void Written(PageNumber page, CodeWatch? writer)
    {
        foreach (CodeWatch watch in Volatile.Read(ref _watches))
            if (watch != writer && watch.Contains(page))
                watch.Observer.PageWritten(page);
    }

    internal void Leave(CodeWatch left)
    {
        lock (_joining)
            Volatile.Write(ref _watches, [.. _watches.Where(watch => watch != left)]);
    }
}

/// <summary>The pages that one back end has decoded code from. It alone changes them.</summary>
public sealed class CodeWatch : IDisposable
{
    private readonly CodePages _all;
    private readonly ulong[] _words;

    internal CodeWatch(CodePages all, IPageWriteObserver observer, int pageCount)
    {
        _all = all;
        _words = new ulong[(pageCount + 63) / 64];
        Observer = observer;
    }

    internal IPageWriteObserver Observer { get; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Contains(PageNumber page) => (Volatile.Read(ref _words[page.Value >> 6]) >> (int)page.Value & 1) != 0;

    public void Add(PageNumber page) => Interlocked.Or(ref _words[page.Value >> 6], 1UL << (int)page.Value);

    public void Remove(PageNumber page) => Interlocked.And(ref _words[page.Value >> 6], ~(1UL << (int)page.Value));

    /// <summary>This back end's vCPU has stored to the page: tells the others.</summary>
    public void Written(PageNumber page)
    {
        Interlocked.MemoryBarrier();
        _all.Written(page, this);
    }

    /// <summary>Hears no more.</summary>
    public void Dispose() => _all.Leave(this);
}
