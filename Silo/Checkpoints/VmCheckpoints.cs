using Godwit.Engine.Checkpoint;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Silo.Checkpoints;

/// <summary>
/// What a silo remembers of the checkpoints of one of its machines, and the way to end one that is being written: commands
/// do not wait for it.
/// </summary>
internal sealed class VmCheckpoints
{
    private const int KeptPauses = 1001;

    private readonly Lock _lock = new();
    private readonly List<TimeSpan> _pauses = [];
    private Action? _interrupt;
    private Task _ended = Task.CompletedTask;
    private CheckpointReport? _last;
    private string? _error;
    private long _taken;
    private bool _stopped;

    /// <summary>The latest that is in the record, of those that this machine wrote; 0: none.</summary>
    public long Kept { get; private set; }

    /// <summary>The latest that was tried.</summary>
    public long Tried { get; set; }

    /// <summary>The guest was paused by command when the latest was taken: another would be the same.</summary>
    public bool KeptPaused { get; private set; }

    /// <summary>When the latest was begun (ticks of the silo's time provider); null: never.</summary>
    public long? Begun { get; set; }

    /// <summary>When the policy was last read.</summary>
    public long? PolicyRead { get; set; }

    /// <summary>Null before the first.</summary>
    public CheckpointFigures? Figures
    {
        get
        {
            lock (_lock)
            {
                var sorted = _pauses.Order().ToList();
                return _last is null && _error is null ? null : new CheckpointFigures
                {
                    Taken = _taken,
                    LastPause = _last?.Pause ?? TimeSpan.Zero,
                    MedianPause = sorted.Count == 0 ? TimeSpan.Zero : sorted[sorted.Count / 2],
                    MaxPause = sorted.Count == 0 ? TimeSpan.Zero : sorted[^1],
                    LastBytes = _last?.Bytes ?? 0,
                    LastDuration = _last?.Duration ?? TimeSpan.Zero,
                    Error = _error,
                };
            }
        }
    }

    /// <summary>Marks one as under way; null where none may be any more. Dispose when it has ended.</summary>
    public Attempt? Begin(CancellationToken either)
    {
        lock (_lock)
        {
            if (_stopped)
            {
                return null;
            }

            var cancel = CancellationTokenSource.CreateLinkedTokenSource(either);
            var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            (_interrupt, _ended) = (cancel.Cancel, ended.Task);
            return new Attempt(this, cancel, ended);
        }
    }

    /// <summary>It is in the record.</summary>
    public void Keep(CheckpointReport report, bool paused)
    {
        lock (_lock)
        {
            (Kept, KeptPaused, _last, _error) = (report.Number, paused, report, null);
            _taken++;
            if (_pauses.Count == KeptPauses)
            {
                _pauses.RemoveAt(0);
            }

            _pauses.Add(report.Pause);
        }
    }

    /// <summary>True where it has not just failed in the same way.</summary>
    public bool Fail(string error)
    {
        lock (_lock)
        {
            var news = _error != error;
            _error = error;
            return news;
        }
    }

    /// <summary>The chain was given up: the next one is whole.</summary>
    public void Forget() => Kept = 0;

    /// <summary>A command comes: one that is under way ends, to be tried again.</summary>
    public void Interrupt()
    {
        lock (_lock)
        {
            _interrupt?.Invoke();
        }
    }

    /// <summary>No more; returns when one that was under way has ended.</summary>
    public Task StopAsync()
    {
        lock (_lock)
        {
            _stopped = true;
            _interrupt?.Invoke();
            return _ended;
        }
    }

    /// <summary>One that is under way.</summary>
    internal sealed class Attempt(VmCheckpoints owner, CancellationTokenSource cancel, TaskCompletionSource ended) : IDisposable
    {
        public CancellationToken Cancelled { get; } = cancel.Token;

        public void Dispose()
        {
            lock (owner._lock)
            {
                owner._interrupt = null;
            }

            cancel.Dispose();
            ended.SetResult();
        }
    }
}
