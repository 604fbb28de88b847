using System.Buffers.Binary;
using System.Diagnostics;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Migration;

/// <summary>
/// The source's side of memory: which pages the target still lacks, and sending them in rounds. The first round takes
/// the allocated extents; what is written meanwhile comes from a dirty session opened before. Free pages are left out.
/// </summary>
internal sealed class RamSender : IDisposable
{
    private const int BatchesPerReport = 16;

    private readonly GuestMemory _memory;
    private readonly FrameLink _link;
    private readonly Timeline _timeline;
    private readonly DirtySession _session;
    private readonly PageBatch _batch = new();
    private readonly List<RoundReport> _rounds = [];

    public RamSender(GuestMemory memory, FrameLink link, Timeline timeline)
    {
        _memory = memory;
        _link = link;
        _timeline = timeline;
        Pending = new PageBitmap(memory.PageCount);
        Sent = new PageHashTree(memory.PageCount);
        _session = memory.Dirty.Open("migration");
    }

    /// <summary>Pages that the target lacks, as far as collected.</summary>
    public PageBitmap Pending { get; }

    /// <summary>Hashes of the pages as the target has them.</summary>
    public PageHashTree Sent { get; }

    public IReadOnlyList<RoundReport> Rounds => _rounds;

    /// <summary>What the link and the target took, bytes a second, in the last round large enough to tell.</summary>
    public double BytesPerSecond { get; private set; }

    /// <summary>Bytes that a stop now would leave to be sent.</summary>
    public long BytesLeft => Pending.Count * PageBatch.RawEntryBytes;

    /// <summary>Begins with everything that is allocated.</summary>
    public void AddAllocated()
    {
        // What was marked until now is allocated, and would be sent a second time.
        _session.Collect(Pending);
        foreach (PageRange extent in _memory.AllocatedExtents())
            for (ulong page = extent.First.Value; page < extent.End.Value; page++)
                Pending.Add(new PageNumber(page));
    }

    /// <summary>
    /// Sends what is pending, waits until the target has stored it, and collects what was written meanwhile. Ends early,
    /// leaving the rest pending, once <paramref name="enough"/> says so.
    /// </summary>
    public async Task SendLiveRoundAsync(Func<bool>? enough, CancellationToken cancellation)
    {
        Round round = await SendPendingAsync(enough, cancellation).ConfigureAwait(false);
        byte[] number = new byte[sizeof(uint)];
        BinaryPrimitives.WriteInt32LittleEndian(number, _timeline.Round);
        await _link.SendAsync(FrameType.RoundEnd, number, cancellation).ConfigureAwait(false);
        using (Frame ack = await _link.ExpectAsync(FrameType.RoundAck, number.Length, cancellation).ConfigureAwait(false))
            if (!ack.Payload.SequenceEqual(number))
                throw new LinkException("protocol error: the wrong round was acknowledged");

        TimeSpan duration = Stopwatch.GetElapsedTime(round.Began);
        if (BytesPerSecond == 0 || round.Bytes >= PageBatch.MaxPages * PageBatch.RawEntryBytes)
            BytesPerSecond = round.Bytes / Math.Max(duration.TotalSeconds, 1e-6);
        long dirtied = _session.Collect(Pending);
        _timeline.DirtyPagesPerSecond = dirtied / Math.Max(duration.TotalSeconds, 1e-6);
        _timeline.PagesLeft = Pending.Count;
        Add(round, duration, dirtied, final: false);
    }

    /// <summary>With the guest stopped: collects the last writes.</summary>
    public void CollectLast() => _session.Collect(Pending);

    /// <summary>With the guest stopped: sends what is pending, and a page of zeros in place of <paramref name="wipe"/>.</summary>
    public async Task SendFinalRoundAsync(PageNumber? wipe, CancellationToken cancellation)
    {
        Round round = await SendPendingAsync(null, cancellation).ConfigureAwait(false);
        if (wipe is { } page)
        {
            _batch.AddZero(page);
            Sent.Set(page, UInt128.Zero);
            await FlushAsync(cancellation).ConfigureAwait(false);
        }
        await SendFreeAsync(cancellation).ConfigureAwait(false);
        Add(round with { Bytes = _link.BytesSent - round.BytesBefore }, Stopwatch.GetElapsedTime(round.Began), 0, final: true);
    }

    public void Dispose() => _session.Dispose();

    private async Task<Round> SendPendingAsync(Func<bool>? enough, CancellationToken cancellation)
    {
        _timeline.Round++;
        long began = Stopwatch.GetTimestamp(), before = _link.BytesSent;
        long pages = 0, zeros = 0, skipped = 0, left = Pending.Count, batches = 0;
        for (PageNumber? next = Pending.Next(default); next is { } page; next = Pending.Next(new PageNumber(page.Value + 1)))
        {
            Pending.Remove(page);
            left--;
            // Declared free: the target needs nothing. A later write marks the page, after it has ceased to be free.
            if (_memory.Dirty.IsFree(page))
            {
                skipped++;
                continue;
            }
            pages++;
            if (!Append(page))
                zeros++;
            if (!_batch.IsFull)
                continue;
            _timeline.PagesLeft = left;
            await FlushAsync(cancellation).ConfigureAwait(false);
            if (++batches % BatchesPerReport == 0)
                _timeline.Report($"round {_timeline.Round}");
            if (enough?.Invoke() == true)
                break;
        }
        await FlushAsync(cancellation).ConfigureAwait(false);
        return new Round(began, before, _link.BytesSent - before, pages, zeros, skipped);
    }

    // Copies first and hashes the copy: the guest may be writing the page. False: a page of zeros.
    private bool Append(PageNumber page)
    {
        UInt128 hash = UInt128.Zero;
        if (_memory.IsAllocated(page) && _memory.TryRead(page.Address, _batch.Slot))
            hash = _batch.AddRead(page);
        else
            _batch.AddZero(page);
        Sent.Set(page, hash);
        return hash != UInt128.Zero;
    }

    private async Task FlushAsync(CancellationToken cancellation)
    {
        if (_batch.Pages == 0)
            return;
        _link.ThrowIfBroken();
        await _link.SendFramedAsync(FrameType.Pages, _batch.Frame, cancellation).ConfigureAwait(false);
        _timeline.PagesSent += _batch.Pages;
        _timeline.BytesSent = _link.BytesSent;
        _batch.Clear();
    }

    // Free pages may have been sent before they were declared: the target makes holes of them, so that they are zero there.
    private async Task SendFreeAsync(CancellationToken cancellation)
    {
        foreach (PageRange[] ranges in _memory.Dirty.FreeRanges().Chunk(Wire.FreeRangesPerFrame))
        {
            byte[] payload = new byte[ranges.Length * 2 * sizeof(uint)];
            for (int i = 0; i < ranges.Length; i++)
            {
                BinaryPrimitives.WriteUInt32LittleEndian(payload.AsSpan(i * 8), (uint)ranges[i].First.Value);
                BinaryPrimitives.WriteInt32LittleEndian(payload.AsSpan(i * 8 + 4), ranges[i].Count);
                for (ulong page = ranges[i].First.Value; page < ranges[i].End.Value; page++)
                    Sent.Set(new PageNumber(page), UInt128.Zero);
            }
            await _link.SendAsync(FrameType.Free, payload, cancellation).ConfigureAwait(false);
        }
    }

    private void Add(Round round, TimeSpan duration, long dirtied, bool final)
    {
        _timeline.BytesSent = _link.BytesSent;
        _rounds.Add(new RoundReport(_timeline.Round, round.Pages, round.ZeroPages, round.Bytes, duration, dirtied, final, round.FreeSkipped));
    }

    private readonly record struct Round(long Began, long BytesBefore, long Bytes, long Pages, long ZeroPages, long FreeSkipped);
}
