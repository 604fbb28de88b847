using System.Diagnostics;

namespace Godwit.Engine.Migration;

/// <summary>A migration's stages with their times, and its progress reports. Nothing in them ever runs backwards.</summary>
internal sealed class Timeline(IProgress<MigrationProgress>? progress)
{
    private readonly long _began = Stopwatch.GetTimestamp();
    private readonly List<StageEntry> _stages = [];
    private long _sequence;

    public TimeSpan Elapsed => Stopwatch.GetElapsedTime(_began);

    public IReadOnlyList<StageEntry> Stages => _stages;

    public MigrationStage Stage { get; private set; }

    public int Round { get; set; }

    public long PagesSent { get; set; }

    public long PagesLeft { get; set; }

    public long BytesSent { get; set; }

    public double DirtyPagesPerSecond { get; set; }

    public TimeSpan PredictedBlackout { get; set; }

    /// <summary>Enters a stage and reports it; a stage already passed is not entered again.</summary>
    public void Enter(MigrationStage stage, string message)
    {
        if (_stages.Count > 0 && stage <= Stage)
            return;
        Stage = stage;
        _stages.Add(new StageEntry(stage, Elapsed));
        Report(message);
    }

    public void Report(string message) =>
        progress?.Report(new MigrationProgress(++_sequence, Stage, Round, PagesSent, PagesLeft, BytesSent, DirtyPagesPerSecond, PredictedBlackout, Elapsed, message));
}
