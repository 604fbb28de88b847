using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Jobs;

namespace Godwit.Silo.Drains;

/// <summary>A drain as its watchers see it: numbered steps and an end. Who watches, and whether anyone does, changes nothing.</summary>
internal sealed class DrainJob
{
    private readonly JobChanges _changes;
    private readonly List<DrainStep> _steps = [];
    private readonly List<DrainedVm> _moved = [];
    private readonly List<KeptVm> _kept = [];
    private readonly TimeProvider _time;
    private readonly long _started;
    private DrainOutcome _outcome;
    private DrainResult? _result;

    public DrainJob(DrainTicket ticket, TimeProvider time)
    {
        Ticket = ticket;
        _time = time;
        _changes = new JobChanges(time);
        _started = time.GetTimestamp();
    }

    public DrainTicket Ticket { get; }

    public bool UnderWay
    {
        get
        {
            lock (_changes.Gate)
            {
                return _outcome == DrainOutcome.UnderWay;
            }
        }
    }

    public void Report(DrainEvent what, string? vm, string message, int left)
    {
        lock (_changes.Gate)
        {
            Add(what, vm, message, left);
        }
    }

    public void Moved(DrainedVm vm, int left)
    {
        lock (_changes.Gate)
        {
            _moved.Add(vm);
            Add(DrainEvent.Moved, vm.Name, $"VM {vm.Name} runs on silo {vm.Target}; it stood still for {vm.Blackout.TotalMilliseconds:0.0} ms.", left);
        }
    }

    public void Kept(KeptVm vm, int left)
    {
        lock (_changes.Gate)
        {
            _kept.Add(vm);
            Add(DrainEvent.Kept, vm.Name, $"VM {vm.Name} stays: {vm.Reason}", left);
        }
    }

    /// <summary>Done or incomplete, by what was kept; or cancelled.</summary>
    public void End(bool cancelled)
    {
        lock (_changes.Gate)
        {
            _outcome = cancelled ? DrainOutcome.Cancelled : _kept.Count > 0 ? DrainOutcome.Incomplete : DrainOutcome.Done;
            _result = new DrainResult
            {
                Moved = [.. _moved],
                Kept = [.. _kept],
                Total = _time.GetElapsedTime(_started),
                LongestBlackout = _moved.Count > 0 ? _moved.Max(v => v.Blackout) : TimeSpan.Zero,
            };
            _changes.Signal();
        }
    }

    /// <summary>Steps after a sequence; waits for one, or the end, up to <paramref name="wait"/>.</summary>
    public Task<DrainUpdate> WatchAsync(long after, TimeSpan wait) =>
        _changes.WatchAsync(() => _steps.Count > after || _outcome != DrainOutcome.UnderWay, () => Update(after), wait);

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
        _changes.Signal();
    }

    private DrainUpdate Update(long after) => new()
    {
        Steps = [.. _steps.Where(s => s.Sequence > after)],
        Outcome = _outcome,
        Result = _result,
    };
}
