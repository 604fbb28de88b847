using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Silo.Drains;

/// <summary>A drain as its watchers see it: numbered steps and an end. Who watches, and whether anyone does, changes nothing.</summary>
internal sealed class DrainJob
{
    private readonly Lock _lock = new();
    private readonly List<DrainStep> _steps = [];
    private readonly List<DrainedVm> _moved = [];
    private readonly List<KeptVm> _kept = [];
    private readonly TimeProvider _time;
    private readonly long _started;
    private TaskCompletionSource _changed = New();
    private DrainOutcome _outcome;
    private DrainResult? _result;

    public DrainJob(DrainTicket ticket, TimeProvider time)
    {
        Ticket = ticket;
        _time = time;
        _started = time.GetTimestamp();
    }

    public DrainTicket Ticket { get; }

    public bool UnderWay
    {
        get
        {
            lock (_lock)
            {
                return _outcome == DrainOutcome.UnderWay;
            }
        }
    }

    public void Report(DrainEvent what, string? vm, string message, int left)
    {
        lock (_lock)
        {
            Add(what, vm, message, left);
        }
    }

    public void Moved(DrainedVm vm, int left)
    {
        lock (_lock)
        {
            _moved.Add(vm);
            Add(DrainEvent.Moved, vm.Name, $"VM {vm.Name} runs on silo {vm.Target}; it stood still for {vm.Blackout.TotalMilliseconds:0.0} ms.", left);
        }
    }

    public void Kept(KeptVm vm, int left)
    {
        lock (_lock)
        {
            _kept.Add(vm);
            Add(DrainEvent.Kept, vm.Name, $"VM {vm.Name} stays: {vm.Reason}", left);
        }
    }

    /// <summary>Done or incomplete, by what was kept; or cancelled.</summary>
    public void End(bool cancelled)
    {
        lock (_lock)
        {
            _outcome = cancelled ? DrainOutcome.Cancelled : _kept.Count > 0 ? DrainOutcome.Incomplete : DrainOutcome.Done;
            _result = new DrainResult
            {
                Moved = [.. _moved],
                Kept = [.. _kept],
                Total = _time.GetElapsedTime(_started),
                LongestBlackout = _moved.Count > 0 ? _moved.Max(v => v.Blackout) : TimeSpan.Zero,
            };
            Signal();
        }
    }

    /// <summary>Steps after a sequence; waits for one, or the end, up to <paramref name="wait"/>.</summary>
    public async Task<DrainUpdate> WatchAsync(long after, TimeSpan wait)
    {
        Task changed;
        lock (_lock)
        {
            if (_steps.Count > after || _outcome != DrainOutcome.UnderWay)
            {
                return Update(after);
            }

            changed = _changed.Task;
        }

        try
        {
            await changed.WaitAsync(wait, _time);
        }
        catch (TimeoutException)
        {
            // No news is an answer too.
        }

        lock (_lock)
        {
            return Update(after);
        }
    }

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void Add(DrainEvent what, string? vm, string message, int left)
    {
        _steps.Add(new DrainStep
        {
            Sequence = _steps.Count + 1,
            Event = what,
            Vm = vm,
            Message = message,
            Elapsed = _time.GetElapsedTime(_started),
            Moved = _moved.Count,
            Left = left,
        });
        Signal();
    }

    private void Signal()
    {
        _changed.TrySetResult();
        _changed = New();
    }

    private DrainUpdate Update(long after) => new()
    {
        Steps = [.. _steps.Where(s => s.Sequence > after)],
        Outcome = _outcome,
        Result = _result,
    };
}
