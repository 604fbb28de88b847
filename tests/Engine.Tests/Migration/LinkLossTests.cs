using Godwit.Engine.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Migration;

/// <summary>The link lost, or the move cancelled, at every point there is: exactly one machine runs on.</summary>
public sealed class LinkLossTests
{
    private static readonly MigrationOptions s_options = new() { VerifyAllMemory = true, MaxRounds = 3, MaxBlackout = TimeSpan.Zero };

    [Fact]
    public async Task WhereverTheSourcesFramesEndExactlyOneRuns()
    {
        int stayed = 0, moved = 0, frames = 1;
        for (int cut = 0; cut <= frames; cut++)
        {
            using MoveRig rig = new(seed: 5);
            rig.Link.Source.CutAfter = cut;
            await rig.MoveAsync(s_options);
            rig.AssertExactlyOneRuns();
            _ = rig.Authority.Owner == "B" ? moved++ : stayed++;
            frames = rig.Link.Source.Writes;
        }
        Assert.True(stayed > 10 && moved > 0, $"{stayed} stayed, {moved} moved");
    }

    [Fact]
    public async Task WhereverTheTargetsFramesEndExactlyOneRuns()
    {
        int stayed = 0, moved = 0, frames = 1;
        for (int cut = 0; cut <= frames; cut++)
        {
            using MoveRig rig = new(seed: 6);
            rig.Link.Target.CutAfter = cut;
            await rig.MoveAsync(s_options);
            rig.AssertExactlyOneRuns();
            _ = rig.Authority.Owner == "B" ? moved++ : stayed++;
            frames = rig.Link.Target.Writes;
        }
        // Committed and Running lost, and nothing lost: those are moves. Up to Verified they are not, or are, as the
        // source's taking back and the target's commit race.
        Assert.True(stayed >= 6 && moved >= 2, $"{stayed} stayed, {moved} moved");
    }

    [Fact]
    public async Task AMoveWhoseEndWasLostIsStillReportedAsMoved()
    {
        using MoveRig rig = new(seed: 7);
        await rig.MoveAsync(s_options);
        int all = rig.Link.Target.Writes;

        using MoveRig lost = new(seed: 7);
        lost.Link.Target.CutAfter = all - 1; // everything but Running
        await lost.MoveAsync(s_options);
        lost.AssertExactlyOneRuns();
        Assert.Equal("B", lost.Authority.Owner);
        Assert.False(lost.SourceReport!.TargetReported);
        Assert.Equal(2, lost.SourceReport.Epoch);
    }

    [Fact]
    public async Task WheneverTheSourceIsCancelledExactlyOneRuns()
    {
        int stayed = 0, moved = 0;
        for (long at = 1, last = 1; at <= last; at++)
        {
            using MoveRig rig = new(seed: 8);
            rig.SourceProgress.Seen = progress => CancelAt(rig.CancelSource, progress, at);
            await rig.MoveAsync(s_options);
            rig.AssertExactlyOneRuns();
            if (rig.Authority.Owner == "B")
                moved++;
            else
            {
                stayed++;
                Assert.IsAssignableFrom<OperationCanceledException>(rig.SourceError);
                Assert.Equal(MigrationStage.Cancelled, rig.SourceProgress.Entries[^1].Stage);
            }
            last = rig.SourceProgress.Entries.Max(entry => entry.Sequence);
        }
        Assert.True(stayed >= 8 && moved >= 1, $"{stayed} stayed, {moved} moved");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task ACancellationWhileTheMoveIsAskedForLeavesTheSourceRunning(bool strict)
    {
        using MoveRig rig = new();
        rig.Authority.AbandonsOnlyMoves = strict;
        rig.Authority.BeforeBegin = rig.CancelSource.CancelAsync;
        await rig.MoveAsync(s_options);
        rig.AssertExactlyOneRuns();
        Assert.IsAssignableFrom<OperationCanceledException>(rig.SourceError);
    }

    [Fact]
    public async Task AMachineDisposedInTheMiddleOfItsMoveEndsTheMoveAndNothingElse()
    {
        using MoveRig rig = new();
        rig.SourceProgress.Seen = progress => DisposeAt(rig.Source, progress);
        await rig.MoveAsync(s_options);
        Assert.IsType<MigrationFailedException>(rig.SourceError);
        Assert.True(rig.Target!.Disposed);
    }

    [Fact]
    public async Task WheneverTheTargetIsCancelledExactlyOneRuns()
    {
        int stayed = 0, moved = 0;
        for (long at = 1, last = 1; at <= last; at++)
        {
            using MoveRig rig = new(seed: 9);
            rig.TargetProgress.Seen = progress => CancelAt(rig.CancelTarget, progress, at);
            await rig.MoveAsync(s_options);
            rig.AssertExactlyOneRuns();
            _ = rig.Authority.Owner == "B" ? moved++ : stayed++;
            last = rig.TargetProgress.Entries.Max(entry => entry.Sequence);
        }
        Assert.True(stayed >= 4 && moved >= 1, $"{stayed} stayed, {moved} moved");
    }

    [Fact]
    public async Task ASilentTargetIsGivenUp()
    {
        using MoveRig rig = new();
        await rig.RunSourceAsync(new MigrationOptions { SilenceLimit = TimeSpan.FromMilliseconds(40) });
        rig.AssertExactlyOneRuns();
        Assert.Contains("silent for 0.04 s", rig.SourceError!.Message);
    }

    [Fact]
    public async Task ASilentSourceIsGivenUp()
    {
        using MoveRig rig = new();
        await rig.RunTargetAsync(new MigrationOptions { SilenceLimit = TimeSpan.FromMilliseconds(40) });
        Assert.Contains("silent for 0.04 s", rig.TargetError!.Message);
        Assert.Null(rig.Target);
    }

    private static void DisposeAt(FakeMachine machine, MigrationProgress progress)
    {
        if (progress.Stage == MigrationStage.Copy)
            machine.Dispose();
    }

    private static void CancelAt(CancellationTokenSource source, MigrationProgress progress, long sequence)
    {
        if (progress.Sequence == sequence)
            source.Cancel();
    }
}
