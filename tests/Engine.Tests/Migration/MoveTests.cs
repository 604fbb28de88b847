using System.Diagnostics;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Migration;

public sealed class MoveTests(ITestOutputHelper output)
{
    [Fact]
    public async Task AMachineMovesWithAllOfItsMemoryAndState()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        for (int i = 0; i < 20; i++)
        {
            using MoveRig rig = new(seed + i, pages: 100 + 50 * i);
            rig.Source.StoresPerStep = 5 * i;
            await rig.MoveAsync();

            rig.AssertExactlyOneRuns();
            Assert.Equal("B", rig.Authority.Owner);
            Assert.Equal(2, rig.SourceReport!.Epoch);
            Assert.Equal(rig.Source.Stores, rig.Target!.Stores);
            Assert.Equal(rig.SourceReport.SourceHash, rig.SourceReport.TargetHash);
            Assert.Equal(32, rig.SourceReport.SourceHash.Length);
            Assert.Equal(rig.SourceReport.TargetHash, rig.TargetReport!.TargetHash);
        }
    }

    [Fact]
    public async Task UntouchedAndZeroPagesAreHolesOnTheTarget()
    {
        using MoveRig rig = new();
        await rig.MoveAsync();
        byte[] ram = rig.SourceRam;
        long nonzero = Enumerable.Range(0, rig.Source.Memory.PageCount).Count(page => ram.AsSpan(page * PageNumber.Size, PageNumber.Size).ContainsAnyExcept((byte)0));
        Assert.Equal(nonzero * PageNumber.Size, rig.Target!.Memory.ResidentBytes);
        Assert.True(rig.SourceReport!.Rounds[0].ZeroPages > 0);
    }

    [Fact]
    public async Task WhatTheTargetsBuildingLeftInMemoryIsGone()
    {
        using MoveRig rig = new();
        rig.Prepare = spec =>
        {
            FakeMachine machine = new(spec, rig.Monitor) { StoresPerStep = 0 };
            machine.Memory.TryWrite(new PageNumber(900).Address, [1, 2, 3]);
            return machine;
        };
        await rig.MoveAsync();
        rig.AssertExactlyOneRuns();
        Assert.False(rig.Target!.Memory.IsAllocated(new PageNumber(900)));
    }

    [Fact]
    public async Task TheReportTellsWhatHappened()
    {
        using MoveRig rig = new();
        await rig.MoveAsync();
        MigrationReport report = rig.SourceReport!;
        Assert.Equal(
            [MigrationStage.Negotiate, MigrationStage.Announce, MigrationStage.Copy, MigrationStage.Stop, MigrationStage.Moving, MigrationStage.Final,
             MigrationStage.Verify, MigrationStage.Commit, MigrationStage.Running, MigrationStage.Released, MigrationStage.Done],
            report.Stages.Select(entry => entry.Stage));
        Assert.Equal(Enumerable.Range(1, report.Rounds.Count), report.Rounds.Select(round => round.Round));
        Assert.Equal([.. Enumerable.Repeat(false, report.Rounds.Count - 1), true], report.Rounds.Select(round => round.Final));
        Assert.InRange(report.Blackout, TimeSpan.FromTicks(1), report.Total);
        Assert.True(report.Verification > TimeSpan.Zero);
        Assert.True(report.Bytes > report.Rounds.Sum(round => round.Bytes));
        Assert.True(report.TargetReported);
        Assert.NotEmpty(report.StopReason);
        Assert.Equal(report.Rounds.Select(round => round.Pages), rig.TargetReport!.Rounds.Select(round => round.Pages));
        Assert.Equal(MigrationStage.Done, rig.SourceProgress.Entries[^1].Stage);
    }

    [Fact]
    public async Task GuestTimeGoesOnByTheRealTimeThatPassed()
    {
        using MoveRig rig = new();
        TimeSpan stood = TimeSpan.FromMilliseconds(1000), slack = TimeSpan.FromMilliseconds(900);
        long asked = 0;
        using PeriodicTimer standing = new(stood);
        rig.Authority.BeforeBegin = async () =>
        {
            // The guest stands still while the record is asked, this long.
            asked = Stopwatch.GetTimestamp();
            standing.Period = stood;
            await standing.WaitForNextTickAsync();
        };
        await rig.MoveAsync();
        TimeSpan atMost = Stopwatch.GetElapsedTime(asked);
        // The slack is for the scheduling of the test's threads, which stands in for the link's delay.
        Assert.InRange(rig.Target!.LastAdvance, stood - slack, atMost + slack);
        Assert.Equal(rig.Target.LastAdvance, rig.SourceReport!.ClockAdvance);
        Assert.True(rig.Target.GuestNanoseconds >= rig.Source.GuestNanoseconds + (ulong)(stood - slack).TotalNanoseconds);
        Assert.True(rig.SourceReport.Blackout >= stood - slack);
    }

    [Fact]
    public async Task AGuestThatDoesNotSettleIsStoppedByTheRoundLimit()
    {
        using MoveRig rig = new();
        await rig.MoveAsync(new MigrationOptions { MaxBlackout = TimeSpan.Zero, MaxRounds = 3 });
        Assert.Equal(4, rig.SourceReport!.Rounds.Count);
        Assert.Contains("round limit 3", rig.SourceReport.StopReason);
        rig.AssertExactlyOneRuns();
    }

    [Fact]
    public async Task ATargetThatHasNoRoomSaysSo()
    {
        using MoveRig rig = new();
        rig.Prepare = _ => throw new Engine.Machine.MachineException("silo b has no room: 4 MiB wanted, 1 MiB free\nmore");
        await rig.MoveAsync();
        rig.AssertExactlyOneRuns();
        Assert.Equal("migration failed: the target refuses: silo b has no room: 4 MiB wanted, 1 MiB free", rig.SourceError!.Message);
    }

    [Fact]
    public async Task StateThatTheTargetCannotLoadLeavesTheSourceRunning()
    {
        using MoveRig rig = new();
        rig.Prepare = spec => new FakeMachine(spec, rig.Monitor) { RefusesState = true };
        await rig.MoveAsync();
        rig.AssertExactlyOneRuns();
        Assert.Equal("A", rig.Authority.Owner);
        Assert.Contains("vcpu0: no such state", rig.SourceError!.Message);
        Assert.True(rig.Source.LastAdvance > TimeSpan.Zero);
    }

    [Fact]
    public async Task AMachineThatIsNotOursStaysStopped()
    {
        using MoveRig rig = new();
        rig.Authority.Taken = true;
        await rig.MoveAsync();
        Assert.False(Assert.IsType<MigrationFailedException>(rig.SourceError).SourceRuns);
        Assert.Equal(0, rig.Monitor.Running);
        Assert.True(rig.Target!.Disposed);
    }

    [Fact]
    public async Task ABeginOfUnknownResultIsTakenBack()
    {
        using MoveRig rig = new();
        rig.Authority.BeginIsUnknown = true;
        await rig.MoveAsync();
        rig.AssertExactlyOneRuns();
        Assert.Equal("A", rig.Authority.Owner);
    }

    [Fact]
    public async Task ARecordThatCannotBeResolvedLeavesTheSourceStopped()
    {
        using MoveRig rig = new();
        rig.Authority.ResolveIsUnknown = true;
        // The target commits, and nothing it says afterwards arrives.
        rig.TargetProgress.Seen = progress => CutOnce(rig, progress.Stage == MigrationStage.Commit);
        await rig.MoveAsync();
        Assert.Equal("B", rig.Authority.Owner);
        Assert.True(rig.Target!.IsRunning);
        Assert.False(Assert.IsType<MigrationFailedException>(rig.SourceError).SourceRuns);
        Assert.False(rig.Released);
        Assert.False(rig.Monitor.Overlapped);
    }

    private static void CutOnce(MoveRig rig, bool now)
    {
        if (now)
            rig.Link.Cut();
    }
}
