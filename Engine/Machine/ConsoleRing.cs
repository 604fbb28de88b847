using MessagePack;

namespace Godwit.Engine.Machine;

/// <summary>
/// The serial console's output: the newest bytes, addressed by their absolute offset since boot. It is part of the
/// machine's state, so that a reader goes on across a move without losing or doubling a byte.
/// </summary>
public sealed class ConsoleRing
{
    /// <summary>Bytes kept.</summary>
    public const int Capacity = 1 << 18;

    private readonly Lock _gate = new();
    private readonly byte[] _bytes = new byte[Capacity];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _waited;
    private long _end;
    private bool _closed;
    private bool _moved;

    /// <summary>Bytes written since boot.</summary>
    public long Length
    {
        get
        {
            lock (_gate)
                return _end;
        }
    }

    public void Write(ReadOnlySpan<byte> bytes)
    {
        TaskCompletionSource? wake = null;
        lock (_gate)
        {
            foreach (byte value in bytes)
                _bytes[_end++ & (Capacity - 1)] = value;
            if (_waited)
                wake = Renew();
        }
        wake?.SetResult();
    }

    /// <summary>No byte will follow: readers at the end are told so.</summary>
    public void Close() => EndWith(moved: false);

    /// <summary>The console goes on elsewhere: readers get an <see cref="ObjectDisposedException"/>.</summary>
    public void Leave() => EndWith(moved: true);

    /// <summary>Bytes from an offset on; waits until there are some or the ring is closed. An offset already overwritten starts at the oldest byte.</summary>
    public async Task<ConsoleChunk> ReadAsync(long offset, int maxBytes, CancellationToken cancellation)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1);
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_moved, this);
                long from = Math.Max(offset, _end - Capacity);
                if (from < _end)
                    return new ConsoleChunk(from, Copy(from, (int)Math.Min(maxBytes, _end - from)), false);
                if (_closed)
                    return new ConsoleChunk(_end, [], true);
                _waited = true;
                changed = _changed.Task;
            }
            await changed.WaitAsync(cancellation).ConfigureAwait(false);
        }
    }

    public ConsoleState SaveState()
    {
        lock (_gate)
        {
            int kept = (int)Math.Min(_end, Capacity);
            return new ConsoleState { End = _end, Newest = Copy(_end - kept, kept) };
        }
    }

    public void LoadState(ConsoleState state)
    {
        if (state.Newest is null || state.End < state.Newest.Length || state.Newest.Length != Math.Min(state.End, Capacity))
            throw new Devices.InvalidStateException($"console: {state.Newest?.Length ?? 0} bytes kept of {state.End} written");
        lock (_gate)
        {
            _end = state.End;
            for (int i = 0; i < state.Newest.Length; i++)
                _bytes[(_end - state.Newest.Length + i) & (Capacity - 1)] = state.Newest[i];
        }
    }

    private void EndWith(bool moved)
    {
        TaskCompletionSource wake;
        lock (_gate)
        {
            _moved |= moved;
            _closed = true;
            wake = Renew();
        }
        wake.SetResult();
    }

    private byte[] Copy(long from, int count)
    {
        byte[] copy = new byte[count];
        int start = (int)(from & (Capacity - 1));
        int first = Math.Min(count, Capacity - start);
        _bytes.AsSpan(start, first).CopyTo(copy);
        _bytes.AsSpan(0, count - first).CopyTo(copy.AsSpan(first));
        return copy;
    }

    private TaskCompletionSource Renew()
    {
        TaskCompletionSource old = _changed;
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waited = false;
        return old;
    }
}

/// <summary>Saved state of the console. Keys are append-only.</summary>
[MessagePackObject]
public sealed record ConsoleState
{
    [Key(0)]
    public required long End { get; init; }

    [Key(1)]
    public required byte[] Newest { get; init; }
}
