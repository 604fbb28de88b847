using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Godwit.Engine.Machine;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Snapshot;

namespace Godwit.Engine.Checkpoint;

/// <summary>
/// Writes a machine's checkpoints (docs/checkpoint.md): the pages changed since the last one, found by a dirty session
/// of its own, and all of its state. Most pages are copied beside the running guest; it stands still only while the
/// last ones are copied to memory and its state is taken. One call at a time.
/// </summary>
public sealed class CheckpointSource : IDisposable
{
    // Copied in a fraction of a millisecond: fewer are not worth another round beside the guest.
    private const int FewPages = 256;

    // A guest that writes faster than this host copies is not waited for.
    private const int MaxRounds = 4;

    private readonly IMigratableMachine _machine;
    private readonly DirtySession _session;
    private readonly PageBitmap _changed;
    private readonly PageBitmap _unkept;
    private PageHashTree _tree;
    private PageHashTree? _keptTree;
    private long _kept;
    private long _last;

    /// <summary>From here on the machine's writes are marked.</summary>
    public CheckpointSource(IMigratableMachine machine)
    {
        _machine = machine;
        _session = machine.Memory.Dirty.Open("checkpoint");
        _changed = new PageBitmap(machine.Memory.PageCount);
        _unkept = new PageBitmap(machine.Memory.PageCount);
        _tree = new PageHashTree(machine.Memory.PageCount);
    }

    /// <summary>
    /// Writes a checkpoint to a stream, which stays open. The guest is paused in between where it is
    /// <paramref name="running"/>, and runs on whatever happens. Where this throws, or the host could not keep what was
    /// written, the next one continues the one before: nothing is lost.
    /// </summary>
    public async Task<CheckpointReport> WriteAsync(CheckpointRequest request, bool running, Stream destination, CancellationToken cancellation)
    {
        long began = Stopwatch.GetTimestamp();
        Settle(request);
        using IDisposable hold = _machine.Memory.Hold();
        using PageStage stage = new();
        SectionWriter sections = new(SnapshotFormat.Checkpoint, destination, cancellation);
        PageRuns runs = new(sections, _tree);
        await BeginAsync(sections, request).ConfigureAwait(false);
        for (int round = 0; running && round < MaxRounds && _changed.Count > FewPages; round++)
        {
            await WriteChangedAsync(runs, request, cancellation).ConfigureAwait(false);
            _session.Collect(_changed);
        }
        stage.Reserve(_changed.Count + FewPages);
        Standstill stood = await StandStillAsync(stage, runs, request, running, cancellation).ConfigureAwait(false);
        for (int i = 0; i < stage.Count; i++)
        {
            await runs.BeginAsync(stage.PageAt(i)).ConfigureAwait(false);
            stage.ContentsAt(i).CopyTo(runs.Slot.Span);
            runs.Add(stage.PageAt(i));
        }
        await runs.FlushAsync().ConfigureAwait(false);
        string digest = await EndAsync(sections, request, stood.State).ConfigureAwait(false);
        await destination.FlushAsync(cancellation).ConfigureAwait(false);
        return new CheckpointReport
        {
            Number = request.Number,
            Since = request.Since,
            Pages = runs.Pages,
            ZeroPages = runs.ZeroPages,
            Bytes = sections.Bytes,
            Pause = stood.Pause,
            Duration = Stopwatch.GetElapsedTime(began),
            Digest = digest,
            ConsoleEnd = stood.ConsoleEnd,
        };
    }

    public void Dispose() => _session.Dispose();

    // What the host says it has kept decides which pages the next file must hold.
    private void Settle(CheckpointRequest request)
    {
        if (request.Kept != 0 && request.Kept == _last)
        {
            _unkept.Clear();
            (_kept, _keptTree) = (_last, null);
        }
        else if (request.Kept == _kept || request.Kept == 0)
        {
            // 0: its host has given up what it had kept, and begins anew.
            _kept = request.Kept;
            foreach (PageNumber page in _unkept.Pages())
                _changed.Add(page);
            // A whole one that was not kept began another tree.
            _tree = _keptTree ?? _tree;
        }
        else
        {
            throw new MachineException($"checkpoint {request.Number} cannot follow {request.Kept}: this machine's last ones are {_kept} and {_last}");
        }
        if (request.Number <= _last)
            throw new MachineException($"checkpoint {request.Number} would come after {_last}");
        _last = request.Number;
        _session.Collect(_changed);
        if (request.Since != 0)
            return;
        _keptTree ??= _tree;
        _tree = new PageHashTree(_machine.Memory.PageCount);
        foreach (PageRange extent in _machine.Memory.AllocatedExtents())
            for (ulong page = extent.First.Value; page < extent.End.Value; page++)
                _changed.Add(new PageNumber(page));
    }

    private async Task BeginAsync(SectionWriter sections, CheckpointRequest request)
    {
        await sections.BeginAsync().ConfigureAwait(false);
        await sections.WriteAsync(SnapshotFormat.Spec, true, MachineSpecCodec.Encode(_machine.Spec)).ConfigureAwait(false);
        byte[] step = new byte[2 * sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(step, request.Number);
        BinaryPrimitives.WriteInt64LittleEndian(step.AsSpan(sizeof(long)), request.Since);
        await sections.WriteAsync(SnapshotFormat.Step, true, step).ConfigureAwait(false);
    }

    // A page may be torn here: it is then marked, and comes again.
    private async Task WriteChangedAsync(PageRuns runs, CheckpointRequest request, CancellationToken cancellation)
    {
        foreach ((PageNumber page, bool allocated) in Take(request))
        {
            cancellation.ThrowIfCancellationRequested();
            if (!allocated)
            {
                runs.AddZero(page);
                continue;
            }
            await runs.BeginAsync(page).ConfigureAwait(false);
            _machine.Memory.TryRead(page.Address, runs.Slot.Span);
            runs.Add(page);
        }
        await runs.FlushAsync().ConfigureAwait(false);
    }

    private async Task<Standstill> StandStillAsync(PageStage stage, PageRuns runs, CheckpointRequest request, bool running, CancellationToken cancellation)
    {
        long stopped = Stopwatch.GetTimestamp();
        if (running)
        {
            ulong guestBefore = _machine.GuestNanoseconds;
            await _machine.PauseAsync().ConfigureAwait(false);
            // The guest's own clock tells when within the call it stopped.
            long ran = (long)((_machine.GuestNanoseconds - guestBefore) * (double)Stopwatch.Frequency / 1e9);
            stopped = Math.Clamp(stopped + ran, stopped, Stopwatch.GetTimestamp());
        }
        try
        {
            _session.Collect(_changed);
            foreach ((PageNumber page, bool allocated) in Take(request))
            {
                if (!allocated)
                {
                    runs.AddZero(page);
                }
                else if (!stage.TryAdd(_machine.Memory, page))
                {
                    // More than may be copied: the guest waits for the file.
                    await runs.BeginAsync(page).ConfigureAwait(false);
                    _machine.Memory.TryRead(page.Address, runs.Slot.Span);
                    runs.Add(page);
                }
            }
            AddFree(runs);
            IReadOnlyList<StateSection> state = _machine.SaveState();
            long consoleEnd = _machine.ConsoleEnd;
            cancellation.ThrowIfCancellationRequested();
            return new Standstill(state, consoleEnd, running ? Stopwatch.GetElapsedTime(stopped) : TimeSpan.Zero);
        }
        finally
        {
            if (running)
                _machine.Resume(Stopwatch.GetElapsedTime(stopped));
        }
    }

    // The changed pages, and whether they hold memory: a hole must not be read, and asking for each page is a system call.
    private IEnumerable<(PageNumber Page, bool Allocated)> Take(CheckpointRequest request)
    {
        PageNumber? next = _changed.Next(default);
        foreach (PageRange extent in _machine.Memory.AllocatedExtents())
        {
            for (; next is { } hole && hole.Value < extent.First.Value; next = _changed.Next(new PageNumber(hole.Value + 1)))
                if (Remove(hole, request))
                    yield return (hole, false);
            for (; next is { } page && page.Value < extent.End.Value; next = _changed.Next(new PageNumber(page.Value + 1)))
                if (Remove(page, request))
                    yield return (page, !_machine.Memory.Dirty.IsFree(page));
            if (next is null)
                yield break;
        }
        for (; next is { } hole; next = _changed.Next(new PageNumber(hole.Value + 1)))
            if (Remove(hole, request))
                yield return (hole, false);
    }

    // A whole checkpoint says nothing of free pages: nobody has them from before.
    private bool Remove(PageNumber page, CheckpointRequest request)
    {
        _changed.Remove(page);
        _unkept.Add(page);
        return request.Since != 0 || !_machine.Memory.Dirty.IsFree(page);
    }

    // Declared free since they were written: zero from now on, so that the chain does not keep them.
    private void AddFree(PageRuns runs)
    {
        foreach (PageRange range in _machine.Memory.Dirty.FreeRanges())
            for (ulong page = range.First.Value; page < range.End.Value; page++)
                if (_tree.Get(new PageNumber(page)) != UInt128.Zero)
                {
                    runs.AddZero(new PageNumber(page));
                    _unkept.Add(new PageNumber(page));
                }
    }

    private async Task<string> EndAsync(SectionWriter sections, CheckpointRequest request, IReadOnlyList<StateSection> state)
    {
        if (state.Sum(section => (long)section.Payload.Length) > SnapshotFormat.MaxState)
            throw new SnapshotException($"checkpoint: more than {SnapshotFormat.MaxState >> 20} MiB of CPU and device state");
        foreach (StateSection section in state)
            await sections.WriteAsync(SnapshotFormat.StatePrefix + section.Tag, section.Critical, section.Payload).ConfigureAwait(false);
        string digest = CheckpointDigest.Compute(request.Number, _tree, StateSections.Digest(state));
        await sections.WriteAsync(SnapshotFormat.Digest, true, Encoding.ASCII.GetBytes(digest)).ConfigureAwait(false);
        await sections.EndAsync().ConfigureAwait(false);
        return digest;
    }

    private readonly record struct Standstill(IReadOnlyList<StateSection> State, long ConsoleEnd, TimeSpan Pause);
}
