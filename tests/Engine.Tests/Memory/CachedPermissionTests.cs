using Godwit.Engine.Memory;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Memory;

/// <summary>A writer as a vCPU is one: it marks once when it takes a page's permission, and then stores without marking.</summary>
public sealed class CachedPermissionTests(ITestOutputHelper output)
{
    private const int Pages = 128;

    [Fact]
    public void StoresUnderACachedPermissionAreInTheCollectionOrMarkedAgain()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        using GuestMemory memory = new(Pages * PageNumber.Size);
        using CachingWriter writer = new(memory, seed);
        memory.Dirty.Attach(writer);
        writer.Start();
        using DirtySession session = memory.Dirty.Open("cached");

        byte[] copy = new byte[memory.Size];
        PageBitmap pages = new(Pages);
        foreach (PageRange extent in memory.AllocatedExtents())
            memory.TryRead(extent.First.Address, copy.AsSpan((int)extent.First.Address.Value, extent.Count * PageNumber.Size));
        for (int round = 0; round < 300; round++)
            CopyDirty(memory, session, pages, copy);
        writer.Stop();
        CopyDirty(memory, session, pages, copy);

        byte[] truth = new byte[memory.Size];
        memory.TryRead(default, truth);
        Assert.True(writer.Stores > 0);
        Assert.True(truth.AsSpan().SequenceEqual(copy));
    }

    [Fact]
    public void AFreePageWrittenUnderAnOldPermissionIsDirtyAgain()
    {
        using GuestMemory memory = new(Pages * PageNumber.Size);
        using CachingWriter writer = new(memory, seed: 1);
        memory.Dirty.Attach(writer);
        writer.Start();
        using DirtySession session = memory.Dirty.Open("free");
        for (int round = 0; round < 100; round++)
        {
            memory.Dirty.DeclareFree([new PageRange(default, Pages)]);
            writer.WaitForStores(Pages);
        }
        writer.Stop();

        // The last thing that happened to every page is a store after the declaration, so none may be free.
        Assert.Equal(0, memory.Dirty.FreePageCount);
        Assert.Equal(Pages, session.Count);
    }

    private static void CopyDirty(GuestMemory memory, DirtySession session, PageBitmap pages, byte[] copy)
    {
        pages.Clear();
        session.Collect(pages);
        foreach (PageNumber page in pages.Pages())
            memory.TryRead(page.Address, copy.AsSpan((int)page.Address.Value, PageNumber.Size));
    }

    private sealed unsafe class CachingWriter : IDirtyWriter, IDisposable
    {
        private readonly GuestMemory _memory;
        private readonly nint[] _permissions = new nint[Pages];
        private readonly Thread _thread;
        private readonly int _seed;
        private long _revokesAsked;
        private long _revokesDone;
        private long _stores;
        private volatile bool _stop;
        private volatile bool _stopped;

        public CachingWriter(GuestMemory memory, int seed)
        {
            _memory = memory;
            _seed = seed;
            _stopped = true;
            _thread = new Thread(Run);
        }

        public long Stores => Volatile.Read(ref _stores);

        public void Start()
        {
            _stopped = false;
            _thread.Start();
        }

        public void Stop()
        {
            _stop = true;
            if (_thread.IsAlive)
                _thread.Join();
        }

        public void WaitForStores(long count)
        {
            long goal = Stores + count * 2;
            SpinWait.SpinUntil(() => Stores >= goal);
        }

        public void RevokeWritePermissions()
        {
            long ticket = Interlocked.Increment(ref _revokesAsked);
            SpinWait.SpinUntil(() => Volatile.Read(ref _revokesDone) >= ticket || _stopped);
        }

        public void Dispose() => Stop();

        private void Run()
        {
            Random random = new(_seed);
            for (long count = 0; !_stop || count % Pages != 0; count++)
            {
                // The safe point, between two stores.
                long asked = Volatile.Read(ref _revokesAsked);
                if (asked != _revokesDone)
                {
                    Array.Clear(_permissions);
                    Volatile.Write(ref _revokesDone, asked);
                }
                // Pages in turn, so that each was stored to in any run of as many stores as there are pages.
                int page = (int)(count % Pages);
                if (_permissions[page] == 0)
                    _permissions[page] = (nint)_memory.Resolve(new PageNumber((ulong)page), Access.Write);
                *(ulong*)(_permissions[page] + random.Next(PageNumber.Size / 8) * 8) = (ulong)random.NextInt64();
                Volatile.Write(ref _stores, count + 1);
            }
            _stopped = true;
        }
    }
}
