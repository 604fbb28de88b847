using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Xunit;
using Xunit.Abstractions;

namespace Godwit.Engine.Tests.Migration;

/// <summary>Guests that help with the move, lie about it, or hang.</summary>
public sealed class GuestHandoffTests(ITestOutputHelper output)
{
    private static readonly MigrationOptions s_options = new() { VerifyAllMemory = true, ReadyTimeout = TimeSpan.FromMilliseconds(200) };

    // Pages 250 to 299 hold random bytes and are outside of the working set.
    private static readonly PageRange s_free = new(new PageNumber(250), 50);

    [Fact]
    public async Task AReadyGuestIsMovedAndTold()
    {
        using MoveRig rig = new();
        BehavePolitely(rig.Source);
        await rig.MoveAsync(s_options);

        rig.AssertExactlyOneRuns();
        Assert.True(rig.SourceReport!.GuestWasReady);
        Assert.True(rig.TargetReport!.GuestWasReady);
        Assert.Equal([MigrationEvent.Announced, MigrationEvent.StopSoon], rig.Source.Guest.Heard);
        Assert.Equal([MigrationEvent.Resumed], rig.Target!.Guest.Heard);
        Assert.True(rig.Target.Guest.Moved);
        Assert.Null(rig.Source.Guest.Moved);
    }

    [Fact]
    public async Task FreePagesAreNeverSentAndAreHolesOnTheTarget()
    {
        using MoveRig with = new(), without = new();
        BehavePolitely(with.Source);
        BehavePolitely(without.Source);
        // Nothing else may tell the two apart.
        with.Source.StoresPerStep = without.Source.StoresPerStep = 0;
        await with.MoveAsync(s_options);
        await without.MoveAsync(s_options with { Cooperate = false });

        with.AssertExactlyOneRuns();
        without.AssertExactlyOneRuns();
        Assert.Empty(without.Source.Guest.Heard);
        Assert.Equal(0, without.SourceReport!.FreePagesSkipped);
        // Of 50 pages every seventh was never touched.
        Assert.InRange(with.SourceReport!.FreePagesSkipped, 42, 43);
        Assert.Equal(with.SourceReport.FreePagesSkipped, with.SourceReport.Rounds[0].FreePagesSkipped);
        for (ulong page = s_free.First.Value; page < s_free.End.Value; page++)
            Assert.False(with.Target!.Memory.IsAllocated(new PageNumber(page)));
        Assert.True(without.Target!.Memory.IsAllocated(s_free.First));
        Assert.True(with.SourceReport.Rounds[0].Bytes < without.SourceReport.Rounds[0].Bytes - 30 * PageNumber.Size);
    }

    [Fact]
    public async Task APageDeclaredFreeAfterItWasSentBecomesAHole()
    {
        using MoveRig rig = new();
        rig.Source.Guest.Cooperative = true;
        rig.Source.Guest.Behaviour = what => FreeAt(MigrationEvent.StopSoon, what, rig.Source.Guest);
        await rig.MoveAsync(s_options);
        rig.AssertExactlyOneRuns();
        Assert.False(rig.Target!.Memory.IsAllocated(s_free.First));
        Assert.Equal(rig.SourceReport!.SourceHash, rig.SourceReport.TargetHash);
    }

    [Fact]
    public async Task APageDeclaredFreeAndThenWrittenArrives()
    {
        int seed = Random.Shared.Next();
        output.WriteLine($"seed {seed}");
        for (int i = 0; i < 10; i++)
        {
            using MoveRig rig = new(seed + i);
            Random random = new(seed + i);
            rig.Source.Guest.Cooperative = true;
            // Declares half of what it is writing to free, again and again, and goes on writing.
            rig.Source.Guest.Behaviour = _ => rig.Source.Guest.Free(new PageRange(new PageNumber((ulong)random.Next(100)), 100));
            rig.SourceProgress.Seen = progress => FreeWhileCopying(rig, progress, random);
            await rig.MoveAsync(s_options);
            rig.AssertExactlyOneRuns();
            Assert.Equal("B", rig.Authority.Owner);
        }
    }

    [Fact]
    public async Task AGuestThatFreesAllItUsesStillHasWhatItWroteAfterwards()
    {
        using MoveRig rig = new();
        rig.Source.Guest.Cooperative = true;
        rig.Source.Guest.Behaviour = what => FreeEverythingAndWriteOn(what, rig.Source);
        await rig.MoveAsync(s_options);
        rig.AssertExactlyOneRuns();
        Assert.True(rig.Target!.Memory.IsAllocated(new PageNumber(270)));
        Assert.False(rig.Target.Memory.IsAllocated(new PageNumber(271)));
    }

    [Fact]
    public async Task AHungGuestCostsTheTimeLimitAndNoMore()
    {
        using MoveRig rig = new();
        rig.Source.Guest.Cooperative = true;
        await rig.MoveAsync(s_options);
        rig.AssertExactlyOneRuns();
        Assert.False(rig.SourceReport!.GuestWasReady);
        Assert.Null(rig.Target!.Guest.Moved);
    }

    [Fact]
    public async Task AReadyGuestWhoseMoveFailsIsToldThatItStayed()
    {
        using MoveRig rig = new();
        BehavePolitely(rig.Source);
        rig.Prepare = spec => new FakeMachine(spec, rig.Monitor) { RefusesState = true };
        await rig.MoveAsync(s_options);
        rig.AssertExactlyOneRuns();
        Assert.Equal("A", rig.Authority.Owner);
        Assert.False(rig.Source.Guest.Moved);
        Assert.Equal([MigrationEvent.Announced, MigrationEvent.StopSoon, MigrationEvent.Resumed], rig.Source.Guest.Heard);
    }

    [Fact]
    public async Task AReadyAtTheAnnouncementIsAnsweredWhenTheCopyIsCancelled()
    {
        using MoveRig rig = new();
        rig.Source.Guest.Cooperative = true;
        rig.Source.Guest.Behaviour = what => ReadyAt(MigrationEvent.Announced, what, rig.Source.Guest);
        rig.SourceProgress.Seen = progress => CancelAt(MigrationStage.Copy, progress, rig.CancelSource);
        await rig.MoveAsync(s_options);
        rig.AssertExactlyOneRuns();
        Assert.False(rig.Source.Guest.Pending);
        Assert.False(rig.Source.Guest.Moved);
        Assert.Equal(MigrationEvent.Resumed, rig.Source.Guest.Heard[^1]);
    }

    [Fact]
    public async Task AfterAMoveTheSourcesMemoryHasNoListenersLeft()
    {
        using MoveRig rig = new();
        BehavePolitely(rig.Source);
        rig.SourceProgress.Seen = progress => CancelAt(MigrationStage.Stop, progress, rig.CancelSource);
        await rig.MoveAsync(s_options);
        rig.AssertExactlyOneRuns();
        long free = rig.Source.Memory.Dirty.FreePageCount;
        rig.Source.Guest.Free(new PageRange(new PageNumber(900), 10));
        Assert.Equal(free, rig.Source.Memory.Dirty.FreePageCount);
    }

    private static void BehavePolitely(FakeMachine machine)
    {
        machine.Guest.Cooperative = true;
        machine.Guest.Behaviour = what =>
        {
            FreeAt(MigrationEvent.Announced, what, machine.Guest);
            ReadyAt(MigrationEvent.StopSoon, what, machine.Guest);
        };
    }

    private static void FreeAt(MigrationEvent when, MigrationEvent what, FakeGuest guest)
    {
        if (what == when)
            guest.Free(s_free);
    }

    private static void ReadyAt(MigrationEvent when, MigrationEvent what, FakeGuest guest)
    {
        if (what == when)
            guest.CallReady();
    }

    private static void FreeWhileCopying(MoveRig rig, MigrationProgress progress, Random random)
    {
        if (progress.Stage == MigrationStage.Copy)
            rig.Source.Guest.Free(new PageRange(new PageNumber((ulong)random.Next(200)), 50));
    }

    private static void FreeEverythingAndWriteOn(MigrationEvent what, FakeMachine machine)
    {
        if (what != MigrationEvent.StopSoon)
            return;
        machine.WorkingSet = 100;
        machine.Guest.Free(new PageRange(default, machine.Memory.PageCount));
        machine.StoreTo(new PageNumber(270));
    }

    private static void CancelAt(MigrationStage stage, MigrationProgress progress, CancellationTokenSource source)
    {
        if (progress.Stage == stage)
            source.Cancel();
    }
}
