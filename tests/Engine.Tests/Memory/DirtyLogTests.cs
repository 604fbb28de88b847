using Godwit.Engine.Memory;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Memory;

public sealed class DirtyLogTests(ITestOutputHelper output)
{
    private static PageNumber Page(int number) => new((ulong)number);

    private static int[] Collect(DirtySession session)
    {
        PageBitmap pages = new(1000);
        session.Collect(pages);
        return [.. pages.Pages().Select(page => (int)page.Value)];
    }

    [Fact]
    public void EverySessionSeesAWriteOnceAndOnItsOwn()
    {
        DirtyLog log = new(1000);
        log.Mark(Page(1));
        using DirtySession first = log.Open("first");
        log.Mark(Page(63));
        using DirtySession second = log.Open("second");
        log.Mark(Page(64));
        log.Mark(Page(999));

        Assert.Equal([63, 64, 999], Collect(first));
        Assert.Equal([], Collect(first));
        Assert.Equal(2, second.Count);
        Assert.Equal([64, 999], Collect(second));
    }

    [Fact]
    public void AClosedSessionIsMarkedNoMore()
    {
        DirtyLog log = new(1000);
        DirtySession session = log.Open("closed");
        session.Dispose();
        log.Mark(Page(5));
        Assert.Equal(0, session.Count);
    }

    [Fact]
    public void CollectAddsToTheSetAndCountsWhatIsNew()
    {
        DirtyLog log = new(1000);
        using DirtySession session = log.Open("adds");
        PageBitmap pages = new(1000);
        pages.Add(Page(7));
        log.Mark(Page(7));
        log.Mark(Page(8));
        Assert.Equal(1, session.Collect(pages));
        Assert.Equal(2, pages.Count);
    }

    [Fact]
    public void APageOutsideIsRefused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new DirtyLog(1000).Mark(Page(1000)));

    [Fact]
    public void CollectClearsBeforeItRevokes()
    {
        DirtyLog log = new(1000);
        using DirtySession session = log.Open("order");
        log.Mark(Page(3));
        // A writer that, when revoked, still marks page 4: it must be left for the next collection.
        Writer writer = new(() => log.Mark(Page(4)));
        log.Attach(writer);
        Assert.Equal([3], Collect(session));
        log.Detach(writer);
        Assert.Equal([4], Collect(session));
    }

    [Fact]
    public void OpenRevokesPermissionsThatWereCachedWithoutIt()
    {
        DirtyLog log = new(1000);
        int revoked = 0;
        log.Attach(new Writer(() => revoked++));
        using DirtySession session = log.Open("revokes");
        Assert.Equal(1, revoked);
    }

    [Fact]
    public void DeclaredPagesAreCleanAndFreeUntilWritten()
    {
        DirtyLog log = new(1000);
        using DirtySession one = log.Open("one");
        using DirtySession two = log.Open("two");
        for (int page = 0; page < 1000; page++)
            log.Mark(Page(page));
        log.DeclareFree([new PageRange(Page(10), 200), new PageRange(Page(320), 64), new PageRange(Page(990), int.MaxValue), new PageRange(Page(5000), 3), new PageRange(Page(0), -1)]);

        bool Free(int page) => page is >= 10 and < 210 or >= 320 and < 384 or >= 990;
        Assert.All(Enumerable.Range(0, 1000), page => Assert.Equal(Free(page), log.IsFree(Page(page))));
        Assert.Equal(Enumerable.Range(0, 1000).Where(page => !Free(page)), Collect(one));
        Assert.Equal(1000 - 274, two.Count);
        Assert.Equal(274, log.FreePageCount);
        Assert.Equal([new PageRange(Page(10), 200), new PageRange(Page(320), 64), new PageRange(Page(990), 10)], log.FreeRanges());

        log.Mark(Page(100));
        Assert.False(log.IsFree(Page(100)));
        Assert.Equal([100], Collect(one));
    }

    [Fact]
    public void DeclareFreeRevokesAfterItHasDeclared()
    {
        DirtyLog log = new(1000);
        bool freeWhenRevoked = false;
        log.Attach(new Writer(() => freeWhenRevoked = log.IsFree(Page(9))));
        log.DeclareFree([new PageRange(Page(9), 1)]);
        Assert.True(freeWhenRevoked);
    }

    [Fact]
    public void NoWriteIsLostToACollectorThatRunsAlongside()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        using GuestMemory memory = new(256 * PageNumber.Size);
        using DirtySession session = memory.Dirty.Open("race");
        Thread[] writers = [.. Enumerable.Range(0, 2).Select(index => new Thread(() => WriteRandomly(memory, new Random(seed + index), 60_000)))];
        foreach (Thread writer in writers)
            writer.Start();

        byte[] copy = new byte[memory.Size];
        PageBitmap pages = new(memory.PageCount);
        while (writers.Any(writer => writer.IsAlive))
            CopyDirty(memory, session, pages, copy);
        foreach (Thread writer in writers)
            writer.Join();
        CopyDirty(memory, session, pages, copy);

        byte[] truth = new byte[memory.Size];
        Assert.True(memory.TryRead(default, truth));
        Assert.True(truth.AsSpan().SequenceEqual(copy));
    }

    private static void WriteRandomly(GuestMemory memory, Random random, int writes)
    {
        byte[] word = new byte[8];
        for (int i = 0; i < writes; i++)
        {
            random.NextBytes(word);
            memory.TryWrite(new GuestPhysicalAddress((ulong)random.Next((int)memory.Size - 8)), word);
        }
    }

    private static void CopyDirty(GuestMemory memory, DirtySession session, PageBitmap pages, byte[] copy)
    {
        pages.Clear();
        session.Collect(pages);
        foreach (PageNumber page in pages.Pages())
            memory.TryRead(page.Address, copy.AsSpan((int)page.Address.Value, PageNumber.Size));
    }

    private sealed class Writer(Action revoked) : IDirtyWriter
    {
        public void RevokeWritePermissions() => revoked();
    }
}
