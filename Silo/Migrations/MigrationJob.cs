using Godwit.Engine.Migration;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Jobs;

namespace Godwit.Silo.Migrations;

/// <summary>
/// A migration as its watchers see it: numbered steps and an end. It belongs to the source silo; who watches, how many
/// and whether anyone does changes nothing.
/// </summary>
internal sealed class MigrationJob : IProgress<MigrationProgress>, IDisposable
{
    private const int KeptSteps = 10_000;

    private readonly JobChanges _changes;
    private readonly List<MigrationStep> _steps = [];
    private readonly CancellationTokenSource _cancel = new();
    private readonly TaskCompletionSource _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _sequence;
    private MigrationOutcome _outcome;
    private string? _error;
    private MigrationResult? _result;

    public MigrationJob(MigrationTicket ticket, TimeProvider time)
    {
        Ticket = ticket;
        _changes = new JobChanges(time);
    }

    public MigrationTicket Ticket { get; }

    /// <summary>Cancelled by a Cancel command only.</summary>
    public CancellationToken Cancelled => _cancel.Token;

    public bool Finished => _finished.Task.IsCompleted;

    /// <summary>Completes when the job has ended, however.</summary>
    public Task Completion => _finished.Task;

    public void Cancel()
    {
        lock (_changes.Gate)
        {
            if (_outcome == MigrationOutcome.UnderWay)
            {
                _cancel.Cancel();
            }
        }
    }

    public void Report(MigrationProgress value)
    {
        lock (_changes.Gate)
        {
            if (_steps.Count == KeptSteps)
            {
                _steps.RemoveRange(0, KeptSteps / 4);
            }

            _steps.Add(new MigrationStep
            {
                Sequence = ++_sequence,
                Stage = value.Stage.ToString(),
                Round = value.Round,
                PagesSent = value.PagesSent,
                PagesLeft = value.PagesLeft,
                BytesSent = value.BytesSent,
                DirtyPagesPerSecond = value.DirtyPagesPerSecond,
                PredictedBlackout = value.PredictedBlackout,
                Elapsed = value.Elapsed,
                Message = value.Message,
            });
            _changes.Signal();
        }
    }

    public void Succeed(MigrationReport report) => End(MigrationOutcome.Done, null, ToResult(report));

    public void Fail(MigrationOutcome outcome, string error) => End(outcome, error, null);

    /// <summary>Steps after a sequence; waits for one, or the end, up to <paramref name="wait"/>.</summary>
    public Task<MigrationUpdate> WatchAsync(long after, TimeSpan wait) =>
        _changes.WatchAsync(() => _sequence > after || _outcome != MigrationOutcome.UnderWay, () => Update(after), wait);

    public void Dispose() => _cancel.Dispose();

    private void End(MigrationOutcome outcome, string? error, MigrationResult? result)
    {
        lock (_changes.Gate)
        {
            (_outcome, _error, _result) = (outcome, error, result);
            _changes.Signal();
        }

        _finished.TrySetResult();
    }

    private MigrationUpdate Update(long after) => new()
    {
        Steps = [.. _steps.Where(s => s.Sequence > after)],
        Outcome = _outcome,
        Error = _error,
        Result = _result,
    };

    private MigrationResult ToResult(MigrationReport report) => new()
    {
        Rounds =
        [
            .. report.Rounds.Select(r => new MigrationRound
            {
                Round = r.Round,
                Pages = r.Pages,
                ZeroPages = r.ZeroPages,
                Bytes = r.Bytes,
                Duration = r.Duration,
                DirtiedMeanwhile = r.DirtiedMeanwhile,
                Final = r.Final,
                FreePagesSkipped = r.FreePagesSkipped,
            }),
        ],
        Total = report.Total,
        Blackout = report.Blackout,
        Verification = report.Verification,
        Bytes = report.Bytes,
        SourceHash = report.SourceHash,
        TargetHash = report.TargetHash,
        GuestWasReady = report.GuestWasReady,
        FreePagesSkipped = report.FreePagesSkipped,
        Epoch = report.Epoch,
        Stages = [.. report.Stages.Select(s => new MigrationStageTime { Stage = s.Stage.ToString(), At = s.At })],
        SourceName = Ticket.SourceName,
        TargetName = Ticket.TargetName,
        ClockAdvance = report.ClockAdvance,
        TargetReported = report.TargetReported,
        StopReason = report.StopReason,
    };
}
