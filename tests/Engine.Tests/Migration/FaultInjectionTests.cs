using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Migration;

/// <summary>Each planted fault does what it says: the move ends as if all were well, and an independent check sees it.</summary>
public sealed class FaultInjectionTests
{
    private static readonly MigrationOptions s_options = new() { VerifyAllMemory = true };

    [Fact]
    public async Task WithoutAFaultNoneOfTheChecksStrikes()
    {
        using MoveRig rig = new();
        rig.Source.Print("all of this must arrive");
        await rig.MoveAsync(s_options);
        Assert.False(rig.Monitor.Overlapped);
        Assert.Equal(rig.SourceReport!.SourceHash, rig.SourceReport.TargetHash);
        Assert.Equal(rig.Source.ConsoleEnd, rig.Target!.ConsoleEnd);
        Assert.True(rig.Target.GuestNanoseconds >= rig.Source.GuestNanoseconds);
    }

    [Theory]
    [InlineData(20)]
    [InlineData(0)]
    public async Task ALostPageShowsInTheHashesAndInMemory(int stores)
    {
        using MoveRig rig = new();
        rig.Source.StoresPerStep = stores;
        await rig.MoveAsync(s_options with { Inject = "lost-page" });
        Assert.Equal("B", rig.Authority.Owner);
        Assert.NotEqual(rig.SourceReport!.SourceHash, rig.SourceReport.TargetHash);
        Assert.NotEqual(rig.TargetReport!.SourceHash, rig.TargetReport.TargetHash);
        byte[] target = rig.Target!.RamBytes();
        int wrong = Enumerable.Range(0, rig.Target.Memory.PageCount)
            .Count(page => !rig.SourceRam.AsSpan(page * PageNumber.Size, PageNumber.Size).SequenceEqual(target.AsSpan(page * PageNumber.Size, PageNumber.Size)));
        Assert.Equal(1, wrong);
    }

    [Fact]
    public async Task ADoubleRunShowsAsTwoMachinesRunning()
    {
        using MoveRig rig = new();
        await rig.MoveAsync(s_options with { Inject = "double-run" });
        Assert.Equal("B", rig.Authority.Owner);
        Assert.True(rig.Monitor.Overlapped);
        Assert.Equal(1, rig.Monitor.Running);
    }

    [Fact]
    public async Task AClockSetBackShowsInGuestTime()
    {
        using MoveRig rig = new();
        rig.Source.LetTimePass(TimeSpan.FromSeconds(60));
        await rig.MoveAsync(s_options with { Inject = "clock-back" });
        Assert.Equal("B", rig.Authority.Owner);
        Assert.True(rig.Target!.GuestNanoseconds < rig.Source.GuestNanoseconds);
        Assert.True(rig.SourceReport!.ClockAdvance < TimeSpan.Zero);
    }

    [Theory]
    [InlineData("short")]
    [InlineData("a console with a good deal more in it than the sixty-four bytes that are to be lost from it")]
    public async Task AConsoleGapShowsInTheConsolesOffset(string text)
    {
        using MoveRig rig = new();
        rig.Source.Print(text);
        await rig.MoveAsync(s_options with { Inject = "console-gap" });
        Assert.Equal("B", rig.Authority.Owner);
        Assert.Equal(Math.Max(0, rig.Source.ConsoleEnd - 64), rig.Target!.ConsoleEnd);
    }

    [Fact]
    public async Task AnUnknownFaultIsRefused()
    {
        using MoveRig rig = new();
        ArgumentException error = await Assert.ThrowsAsync<ArgumentException>(() => rig.RunSourceAsync(s_options with { Inject = "gremlin" }));
        Assert.StartsWith("unknown fault 'gremlin'", error.Message);
        Assert.True(rig.Source.IsRunning);
    }
}
