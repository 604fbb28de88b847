namespace Godwit.Engine.Migration;

/// <summary>
/// When to stop the guest: as soon as the predicted blackout is under the target; else at a local minimum of the
/// prediction, once rounds have ceased to shrink; else after a number of rounds.
/// </summary>
internal sealed class ConvergencePolicy(TimeSpan maxBlackout, int maxRounds)
{
    // A round counts as progress when it brings the prediction down by a tenth. After two that do not, the next one
    // near the best seen is taken; a load that never comes near it again is not waited for for long.
    private const double Progress = 0.9, Near = 1.1;
    private const int StaleRounds = 2, HopelessRounds = 5;

    private TimeSpan _best = TimeSpan.MaxValue;
    private int _stale;

    /// <summary>What stopping now would cost: the rest at the measured rate, and the state.</summary>
    public static TimeSpan Predict(long bytesLeft, double bytesPerSecond, TimeSpan stateTime) =>
        stateTime + TimeSpan.FromSeconds(Math.Min(bytesLeft / Math.Max(bytesPerSecond, 1), 1e6));

    /// <summary>Why to stop after this round, one line; null: copy on.</summary>
    public string? ReasonToStop(int round, TimeSpan predicted)
    {
        if (predicted < maxBlackout)
            return $"predicted blackout {predicted.TotalMilliseconds:0.0} ms is under {maxBlackout.TotalMilliseconds:0.#} ms";
        if (round >= maxRounds)
            return $"round limit {maxRounds} reached at a predicted blackout of {predicted.TotalMilliseconds:0.0} ms";
        if (_best == TimeSpan.MaxValue || predicted < _best * Progress)
        {
            _best = predicted;
            _stale = 0;
            return null;
        }
        _stale++;
        bool minimum = _stale >= StaleRounds && predicted <= _best * Near;
        if (!minimum && _stale < HopelessRounds)
            return null;
        return $"rounds no longer shrink; predicted blackout {predicted.TotalMilliseconds:0.0} ms, best seen {_best.TotalMilliseconds:0.0} ms";
    }
}
