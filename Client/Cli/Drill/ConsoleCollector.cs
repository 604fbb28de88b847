using System.Diagnostics;
using Godwit.Client;

namespace Godwit.Cli.Drill;

/// <summary>Reads a VM's console over all its moves, as a client would, and lets others wait for what the guest says.</summary>
internal sealed class ConsoleCollector : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _gate = new();
    private readonly GuestConsole _console = new();
    private readonly Task _reading;
    private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _next;
    private bool _ended;

    public ConsoleCollector(Vm vm) => _reading = ReadAsync(vm);

    /// <summary>A hole in the offsets that the silos gave, one line; null while there is none.</summary>
    public string? Gap { get; private set; }

    /// <summary>Tick lines so far.</summary>
    public int TickCount
    {
        get
        {
            lock (_gate)
                return _console.Ticks.Count;
        }
    }

    /// <summary>The largest gap that the guest has reported since a number of ticks, in milliseconds; null where it has reported none.</summary>
    public double? LargestGapSince(int ticks)
    {
        lock (_gate)
            return _console.Ticks.Skip(ticks).Max(line => (double?)line.GapNanoseconds) / 1e6;
    }

    /// <summary>Everything that came, once reading has stopped.</summary>
    public async Task<GuestConsole> StopAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _reading.ConfigureAwait(false);
        return _console;
    }

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
                if (_console.Ticks.Count >= count)
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
        await StopAsync().ConfigureAwait(false);
        _stop.Dispose();
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
                    _console.Add(segment.Bytes, Stopwatch.GetTimestamp());
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
        catch (OperationCanceledException)
        {
            // Asked to stop.
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
