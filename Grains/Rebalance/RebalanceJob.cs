using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Jobs;

namespace Godwit.Grains.Rebalance;

/// <summary>A rebalance as its watchers see it: numbered steps and an end. Who watches, and whether anyone does, changes nothing.</summary>
public sealed class RebalanceJob
{
    private readonly JobChanges _changes;
    private readonly List<RebalanceStep> _steps = [];
    private readonly List<DrainedVm> _moved = [];
    private readonly TimeProvider _time;
    private readonly long _started;
    private RebalanceOutcome _outcome;
    private RebalanceResult? _result;
    private int _skipped;
    private int _failed;

    public RebalanceJob(RebalanceTicket ticket, TimeProvider time)
    {
        Ticket = ticket;
        _time = time;
        _changes = new JobChanges(time);
        _started = time.GetTimestamp();
    }

    public RebalanceTicket Ticket { get; }

    public bool UnderWay
    {
        get
        {
            lock (_changes.Gate)
            {
                return _outcome == RebalanceOutcome.UnderWay;
            }
        }
    }

    public void Moving(PlannedMove move) => Report(RebalanceEvent.Moving, move.Vm.Name, $"VM {move.Vm.Name} is moving from silo {move.From.Name} to silo {move.To.Name}.");

    public void Moved(DrainedVm vm)
    {
        lock (_changes.Gate)
        {
            _moved.Add(vm);
            Report(RebalanceEvent.Moved, vm.Name, $"VM {vm.Name} runs on silo {vm.Target}; it stood still for {vm.Blackout.TotalMilliseconds:0.0} ms.");
        }
    }

    public void Skip(PlannedMove move, string why)
    {
        lock (_changes.Gate)
        {
            _skipped++;
            Report(RebalanceEvent.Skipped, move.Vm.Name, $"VM {move.Vm.Name} stays where it is: {why}.");
        }
    }

    public void Fail(PlannedMove move, string why)
    {
        lock (_changes.Gate)
        {
            _failed++;
            Report(RebalanceEvent.Failed, move.Vm.Name, $"VM {move.Vm.Name} was not moved: {why}");
        }
    }

    /// <param name="spread">As it is measured now.</param>
    public void End(bool cancelled, double spread)
    {
        lock (_changes.Gate)
        {
            _outcome = cancelled ? RebalanceOutcome.Cancelled : _failed > 0 ? RebalanceOutcome.Incomplete : RebalanceOutcome.Done;
            _result = new RebalanceResult
            {
                Moved = [.. _moved],
                Skipped = _skipped,
                Failed = _failed,
                Total = _time.GetElapsedTime(_started),
                LongestBlackout = _moved.Count > 0 ? _moved.Max(v => v.Blackout) : TimeSpan.Zero,
                SpreadBefore = Ticket.Plan.SpreadBefore,
                SpreadAfter = spread,
            };
            _changes.Signal();
        }
    }

    /// <summary>Steps after a sequence; waits for one, or the end, up to <paramref name="wait"/>.</summary>
    public Task<RebalanceUpdate> WatchAsync(long after, TimeSpan wait) =>
        _changes.WatchAsync(() => _steps.Count > after || _outcome != RebalanceOutcome.UnderWay, () => Update(after), wait);

    private void Report(RebalanceEvent what, string vm, string message)
    {
        lock (_changes.Gate)
        {
            _steps.Add(new RebalanceStep
            {
                Sequence = _steps.Count + 1,
                Event = what,
                Vm = vm,
                Message = message,
                Elapsed = _time.GetElapsedTime(_started),
                Left = Ticket.Plan.Moves.Count - _moved.Count - _skipped - _failed,
            });
            _changes.Signal();
        }
    }

    private RebalanceUpdate Update(long after) => new()
    {
        Steps = [.. _steps.Where(s => s.Sequence > after)],
        Outcome = _outcome,
        Result = _result,
    };
}
