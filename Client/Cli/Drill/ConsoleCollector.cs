using Godwit.Client;

namespace Godwit.Cli.Drill;

/// <summary>Reads a VM's console over all its moves, as a client would, and lets others wait for what the guest says.</summary>
internal sealed class ConsoleCollector : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly MemoryStream _bytes = new();
    private readonly Task _reading;
    private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _next;
    private bool _ended;

    public ConsoleCollector(Vm vm) => _reading = ReadAsync(vm);

    /// <summary>A hole in the offsets that the silos gave, one line; null while there is none.</summary>
    public string? Gap { get; private set; }

    public byte[] Bytes
    {
        get
        {
            lock (_gate)
                return _bytes.ToArray();
        }
    }

    /// <summary>The guest's tick lines so far.</summary>
    public List<GuestLine> Ticks => ConsoleChecks.Lines(Bytes).Lines;

    /// <summary>Waits until the guest has said this many ticks; false when the time is up or the console has ended.</summary>
    public async Task<bool> WaitForTicksAsync(int count, TimeSpan limit, CancellationToken cancellation)
    {
        using CancellationTokenSource time = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        time.CancelAfter(limit);
        while (true)
        {
            Task more;
            lock (_gate)
            {
                more = _more.Task;
                if (ConsoleChecks.Lines(_bytes.GetBuffer().AsSpan(0, (int)_bytes.Length)).Lines.Count >= count)
                    return true;
                if (_ended)
                    return false;
            }
            try
            {
                await more.WaitAsync(time.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                return false;
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        try
        {
            await _reading.ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // Asked for.
        }
        _stop.Dispose();
        _bytes.Dispose();
    }

    private async Task ReadAsync(Vm vm)
    {
        try
        {
            await foreach (var segment in vm.Console(cancellation: _stop.Token).ConfigureAwait(false))
            {
                TaskCompletionSource more;
                lock (_gate)
                {
                    if (segment.Offset != _next)
                        Gap ??= $"the console went from offset {_next} to {segment.Offset}";
                    _bytes.Write(segment.Bytes);
                    _next = segment.Offset + segment.Bytes.Length;
                    more = _more;
                    _more = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                }
                more.SetResult();
            }
        }
        catch (GodwitException lost)
        {
            Gap ??= $"the console could not be read on: {lost.Message}";
        }
        finally
        {
            lock (_gate)
            {
                _ended = true;
                _more.TrySetResult();
            }
        }
    }
}
