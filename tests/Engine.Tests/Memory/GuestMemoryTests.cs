using Godwit.Engine.Memory;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Memory;

public sealed class GuestMemoryTests(ITestOutputHelper output)
{
    private const ulong MiB = 1 << 20;

    private static PageNumber Page(ulong number) => new(number);

    [Fact]
    public void UntouchedPagesStayHoles()
    {
        using GuestMemory memory = new(64 * MiB);
        Assert.Equal(0, memory.ResidentBytes);
        Assert.Empty(memory.AllocatedExtents());
        memory.TryWrite(Page(3).Address, [1]);
        memory.TryWrite(new GuestPhysicalAddress(Page(101).Address.Value - 1), [1, 2]);
        memory.TryWrite(new GuestPhysicalAddress(memory.Size - 1), [1]);

        Assert.Equal([new PageRange(Page(3), 1), new PageRange(Page(100), 2), new PageRange(Page(64 * 256 - 1), 1)], memory.AllocatedExtents());
        Assert.Equal(4 * PageNumber.Size, memory.ResidentBytes);
        Assert.True(memory.IsAllocated(Page(101)));
        Assert.False(memory.IsAllocated(Page(102)));
        Assert.False(memory.IsAllocated(Page(64 * 256)));
    }

    [Fact]
    public void DiscardGivesMemoryBackAndIsAWrite()
    {
        using GuestMemory memory = new(MiB);
        Observer observer = new();
        using CodeWatch watch = memory.Code.Join(observer);
        watch.Add(Page(11));
        memory.TryWrite(Page(10).Address, new byte[3 * PageNumber.Size].Select(_ => (byte)1).ToArray());
        using DirtySession session = memory.Dirty.Open("discard");
        memory.Discard(new PageRange(Page(11), 1));

        Assert.Equal(2 * PageNumber.Size, memory.ResidentBytes);
        Assert.Equal(1, session.Count);
        Assert.Equal([11, 11], observer.Told); // the write before, and the discard
        byte[] back = new byte[2];
        memory.TryRead(new GuestPhysicalAddress(Page(11).Address.Value - 1), back);
        Assert.Equal([1, 0], back);
        Assert.Throws<ArgumentOutOfRangeException>(() => memory.Discard(new PageRange(Page(255), 2)));
        Assert.Throws<ArgumentOutOfRangeException>(() => memory.Discard(new PageRange(Page(ulong.MaxValue), 1)));
    }

    [Fact]
    public void DeviceWritesReachWhoeverHoldsCodeFromThePage()
    {
        using GuestMemory memory = new(MiB);
        Observer observer = new();
        using CodeWatch watch = memory.Code.Join(observer);
        watch.Add(Page(5));
        watch.Add(Page(6));
        watch.Remove(Page(6));
        memory.TryWrite(Page(4).Address, new byte[3 * PageNumber.Size]);
        Assert.Equal([5], observer.Told);
        watch.Dispose();
        memory.TryWrite(Page(5).Address, [1]);
        Assert.Equal([5], observer.Told);
    }

    [Fact]
    public void MemoryThatIsHeldOutlivesItsDisposal()
    {
        GuestMemory memory = new(MiB);
        memory.TryWrite(Page(3).Address, [7]);
        IDisposable first = memory.Hold(), second = memory.Hold();
        memory.Dispose();
        memory.Dispose();
        first.Dispose();
        first.Dispose();
        byte[] back = new byte[1];
        Assert.True(memory.TryRead(Page(3).Address, back));
        Assert.Equal(7, back[0]);
        Assert.Equal(PageNumber.Size, memory.ResidentBytes);
        second.Dispose();
        Assert.Throws<ObjectDisposedException>(() => memory.ResidentBytes);
        Assert.Throws<ObjectDisposedException>(() => memory.Discard(new PageRange(Page(3), 1)));
        Assert.Throws<ObjectDisposedException>(memory.Hold);
    }

    [Theory]
    [InlineData(0xff_fff8UL, 8, true)]
    [InlineData(0xff_fff9UL, 8, false)]
    [InlineData(ulong.MaxValue, 1, false)]
    [InlineData(0x100_0000UL, 0, true)]
    public void AccessOutsideIsRefusedWhole(ulong address, int length, bool allowed)
    {
        using GuestMemory memory = new(16 * MiB);
        Assert.Equal(allowed, memory.TryWrite(new GuestPhysicalAddress(address), new byte[length]));
        Assert.Equal(allowed, memory.TryRead(new GuestPhysicalAddress(address), new byte[length]));
    }

    [Fact]
    public unsafe void ThereIsNoPagePastTheEnd()
    {
        using GuestMemory memory = new(MiB);
        Assert.True(memory.Resolve(Page(256), Access.Read) == null);
        Assert.True(memory.Resolve(Page(ulong.MaxValue), Access.Write) == null);
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(4097UL)]
    [InlineData(1UL << 62)]
    public void AnImpossibleSizeIsRefused(ulong bytes) => Assert.Throws<ArgumentOutOfRangeException>(() => new GuestMemory(bytes));

    [Fact]
    public void HashCountsHolesZeroPagesAndFreePagesTheSame()
    {
        using GuestMemory one = new(MiB), two = new(MiB);
        byte[] page = [.. Enumerable.Range(0, PageNumber.Size).Select(i => (byte)i)];
        one.TryWrite(Page(7).Address, page);
        two.TryWrite(Page(7).Address, page);
        UInt128 same = RamHash.Compute(one);
        Assert.Equal(same, RamHash.Compute(two));
        two.TryWrite(Page(8).Address, new byte[PageNumber.Size]);
        Assert.Equal(same, RamHash.Compute(two));
        two.TryWrite(Page(9).Address, page);
        Assert.NotEqual(same, RamHash.Compute(two));
        two.Dirty.DeclareFree([new PageRange(Page(9), 1)]);
        Assert.Equal(same, RamHash.Compute(two));
        two.TryWrite(Page(9).Address, [5]);
        Assert.NotEqual(same, RamHash.Compute(two));
        Assert.Equal(2 * PageNumber.Size + PageNumber.Size, two.ResidentBytes);

        using GuestMemory moved = new(MiB), larger = new(2 * MiB);
        moved.TryWrite(Page(6).Address, page);
        larger.TryWrite(Page(7).Address, page);
        Assert.NotEqual(same, RamHash.Compute(moved));
        Assert.NotEqual(same, RamHash.Compute(larger));
        Assert.Equal(32, RamHash.ToHex(same).Length);
    }

    [Fact]
    public void AnIncrementalTreeHasTheRootOfOneMadeAtOnce()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        Random random = new(seed);
        const int count = 700;
        UInt128[] truth = new UInt128[count];
        PageHashTree incremental = new(count);
        for (int step = 0; step < 3000; step++)
        {
            int page = random.Next(count);
            truth[page] = random.Next(3) == 0 ? UInt128.Zero : new UInt128(0, (ulong)random.NextInt64());
            incremental.Set(Page((ulong)page), truth[page]);
            if (step % 500 == 0)
                _ = incremental.Root();
        }
        PageHashTree whole = new(count);
        for (int page = 0; page < count; page++)
            whole.Set(Page((ulong)page), truth[page]);
        Assert.Equal(whole.Root(), incremental.Root());
        Assert.Equal(truth[33], incremental.Get(Page(33)));

        whole.Set(Page(count - 1), truth[count - 1] + 1);
        Assert.NotEqual(whole.Root(), incremental.Root());
        for (int page = 0; page < count; page++)
            incremental.Set(Page((ulong)page), UInt128.Zero);
        Assert.Equal(new PageHashTree(count).Root(), incremental.Root());
    }

    [Fact]
    public void ABitmapGivesItsPagesInOrder()
    {
        PageBitmap bitmap = new(200);
        ulong[] pages = [0, 63, 64, 127, 128, 129, 199];
        foreach (ulong page in pages)
            bitmap.Add(Page(page));
        Assert.Equal(pages, bitmap.Pages().Select(page => page.Value));
        Assert.Equal(7, bitmap.Count);
        bitmap.Remove(Page(128));
        Assert.Equal([new PageRange(Page(0), 1), new PageRange(Page(63), 2), new PageRange(Page(127), 1), new PageRange(Page(129), 1), new PageRange(Page(199), 1)], bitmap.Runs());
        Assert.False(bitmap.Contains(Page(128)));
        Assert.False(bitmap.Contains(Page(4000)));
        Assert.Null(bitmap.Next(Page(200)));
        Assert.Throws<ArgumentOutOfRangeException>(() => bitmap.Add(Page(200)));
    }

    private sealed class Observer : IPageWriteObserver
    {
        public List<int> Told { get; } = [];

        public void PageWritten(PageNumber page) => Told.Add((int)page.Value);
    }
}
