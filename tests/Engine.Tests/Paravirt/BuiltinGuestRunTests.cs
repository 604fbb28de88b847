using System.Globalization;
using System.IO.Compression;
using System.Text.RegularExpressions;
using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Paravirt.BuiltinGuest;
using Xunit;

namespace Godwit.Engine.Tests.Paravirt;

/// <summary>The built-in guest at work on the interpreter, its devices and its hypercalls.</summary>
public sealed partial class BuiltinGuestRunTests
{
    private const string Small = "working-set=1M free=2M interval=5 rate=4000 verify=8000";

    [Fact]
    public void GuestRunsItsTicksAndEndsWell()
    {
        using GuestMachine machine = new($"{Small} ticks=5");
        machine.RunUntil(() => false);
        Assert.Equal(1, machine.ExitCode); // value 0
        Assert.Equal("godwit-guest start working_set=256 rate=4000 verify=8000", machine.Lines[0]);
        Dictionary<string, ulong>[] ticks = [.. machine.Lines.Skip(1).Select(Fields)];
        Assert.Equal([1ul, 2, 3, 4, 5], ticks.Select(tick => tick["tick"]));
        Assert.All(ticks, tick => Assert.Equal(0ul, tick["wrong"] + tick["clock_back"] + tick["stopped"]));
        Assert.Equal([1ul, 2, 3, 4, 5], machine.Sink.Marks.Where(mark => mark.Code == 1).Select(mark => mark.Value));
        Assert.Empty(machine.SerialLines);
    }

    [Fact]
    public void SameRunTwiceEndsInTheSameState()
    {
        using GuestMachine one = new($"{Small} ticks=3");
        using GuestMachine two = new($"{Small} ticks=3");
        one.RunUntil(() => false);
        two.RunUntil(() => false);
        Assert.Equal(one.Retired, two.Retired);
        Assert.Equal(one.Lines, two.Lines);
        Assert.Equal(RamHash.Compute(one.Memory), RamHash.Compute(two.Memory));
    }

    [Fact]
    public void WithoutParavirtualLeavesItGoesOnWithSerialPortAndTsc()
    {
        using GuestMachine machine = new($"{Small} ticks=3", paravirtual: false);
        machine.RunUntil(() => false);
        Assert.Equal(1, machine.ExitCode);
        Assert.Empty(machine.Sink.Console);
        Assert.Empty(machine.Sink.Marks);
        Assert.Equal(4, machine.SerialLines.Length);
        Assert.Equal(3ul, Fields(machine.SerialLines[^1])["tick"]);
        Assert.Equal(0ul, Fields(machine.SerialLines[^1])["clock_back"]);
    }

    [Fact]
    public void PagesAreRewrittenAndVerifiedAtTheRatesItWasGiven()
    {
        using GuestMachine machine = new("working-set=1M free=none interval=20 rate=4000 verify=6000 ticks=6");
        machine.RunUntil(() => false);
        Dictionary<string, ulong>[] ticks = [.. machine.Lines.Skip(1).Select(Fields)];
        double seconds = (ticks[^1]["mono_ns"] - ticks[0]["mono_ns"]) / 1e9;
        Assert.InRange((ticks[^1]["pages"] - ticks[0]["pages"]) / seconds, 3920, 4080);
        Assert.InRange((ticks[^1]["verified"] - ticks[0]["verified"]) / seconds, 5880, 6120);
    }

    [Fact]
    public void IdleGuestHaltsAndWakesEveryMillisecond()
    {
        using GuestMachine machine = new("working-set=1M free=none interval=50 rate=0 verify=0 ticks=4");
        machine.RunToTick(1);
        (ulong retired, ulong time) = (machine.Retired, machine.Nanoseconds);
        machine.RunToTick(3);
        Assert.InRange((machine.Nanoseconds - time) / 1e9, 0.099, 0.103);
        Assert.InRange(machine.Retired - retired, 1000ul, 100_000ul); // an idle loop would take ten million
        machine.RunUntil(() => false);
        Assert.InRange(Fields(machine.Lines[^1])["gap_ns"], 900_000ul, 1_200_000ul);
    }

    [Fact]
    public void CorruptedWordIsFoundNamedAndEndsInFailure()
    {
        using GuestMachine machine = new("working-set=1M free=none interval=5 rate=100 verify=100000 ticks=4 corrupt=2");
        machine.RunUntil(() => false);
        Assert.Equal(3, machine.ExitCode); // value 1
        Dictionary<string, ulong> mismatch = Fields(Assert.Single(machine.Lines, line => line.StartsWith("godwit-guest mismatch", StringComparison.Ordinal)));
        Assert.Equal(77ul, mismatch["word"]);
        Assert.Equal(mismatch["want"], mismatch["have"] ^ 1);
        Assert.Equal([0ul, 0ul], machine.Lines.Select(Fields).Where(line => line.TryGetValue("tick", out ulong tick) && tick <= 2).Select(line => line["wrong"]));
    }

    [Theory]
    [InlineData(100_000)]
    [InlineData(0)]
    public void PageThatWentBackToAnEarlierVersionIsFound(int verify)
    {
        using GuestMachine machine = new($"working-set=1M free=none interval=5 rate=100000 verify={verify}");
        machine.RunToTick(1);
        byte[] old = new byte[256 * PageNumber.Size];
        GuestPhysicalAddress workingSet = new(BuiltinGuestLayout.For(BuiltinGuestParameters.Parse("working-set=1M free=none"), machine.Memory.Size).WorkingSet);
        Assert.True(machine.Memory.TryRead(workingSet, old));
        machine.RunToTick(3);
        // One page as it was, and whole in itself: what a migration that lost a page would leave.
        Assert.True(machine.Memory.TryWrite(workingSet + 200 * PageNumber.Size, old.AsSpan(200 * PageNumber.Size, PageNumber.Size)));
        machine.RunUntil(() => machine.Lines.Any(line => line.Contains("mismatch page=200 word=0", StringComparison.Ordinal)));
    }

    [Fact]
    public void FreeHalfNeitherCompressesNorRepeats()
    {
        using GuestMachine machine = new("working-set=1M free=half interval=5");
        machine.RunToTick(1);
        byte[] half = new byte[machine.Memory.Size / 2];
        Assert.True(machine.Memory.TryRead(new GuestPhysicalAddress(machine.Memory.Size / 2), half));
        using MemoryStream packed = new();
        using (DeflateStream deflate = new(packed, CompressionLevel.Fastest, leaveOpen: true))
            deflate.Write(half);
        Assert.True(packed.Length > half.Length * 0.98, $"{packed.Length} of {half.Length} bytes");
    }

    [Fact]
    public void CooperatingGuestNamesItsFreePagesQuiescesAndTellsWhatItSaw()
    {
        using GuestMachine machine = new($"{Small} cooperate=on");
        List<PageRange> freed = [];
        machine.Calls.PagesFreed += freed.AddRange;
        machine.RunToTick(1);
        Assert.True(machine.Calls.Cooperative);
        Assert.Empty(freed);

        machine.Calls.Announce(MigrationEvent.Announced);
        machine.RunToTick(2);
        ulong pages = machine.Memory.Size / PageNumber.Size;
        Assert.Equal([new PageRange(new PageNumber(pages - 512), 512)], freed);
        Assert.Contains((2ul, 512ul), machine.Sink.Marks);

        machine.Calls.Announce(MigrationEvent.StopSoon);
        machine.RunUntil(() => false);
        Assert.True(machine.Calls.IsParked(0));
        Assert.Equal(VcpuExit.Parked, machine.LastExit);
        int before = machine.Lines.Length;

        machine.StandStill(40_000_000);
        machine.Calls.CompleteReady(moved: true);
        machine.Calls.Announce(MigrationEvent.Resumed);
        machine.RunUntil(() => machine.Lines.Length >= before + 2);
        Dictionary<string, ulong> moved = Fields(machine.Lines[before]);
        Assert.Equal(1ul, moved["moved"]);
        Assert.InRange(moved["ready_ns"], 40_000_000ul, 41_000_000ul);
        Dictionary<string, ulong> tick = Fields(machine.Lines[before + 1]);
        Assert.InRange(tick["gap_ns"], 40_000_000ul, 41_000_000ul);
        Assert.Equal(tick["gap_ns"], tick["max_gap_ns"]);
        Assert.Equal((1ul, 0ul, 0ul), (tick["stopped"], tick["wrong"], tick["clock_back"]));
        Assert.Contains((4ul, 1ul), machine.Sink.Marks);
    }

    [Fact]
    public void GuestThatStayedIsToldSo()
    {
        using GuestMachine machine = new($"{Small} rate=1000000");
        machine.RunToTick(1);
        machine.Calls.Announce(MigrationEvent.StopSoon);
        machine.RunUntil(() => false);
        Assert.True(machine.Calls.IsParked(0));
        machine.Calls.CompleteReady(moved: false);
        machine.RunUntil(() => machine.Lines[^1].Contains("moved=0", StringComparison.Ordinal));
    }

    [Fact]
    public void TwoMovesInARowAreHandledAlike()
    {
        using GuestMachine machine = new(Small);
        int freed = 0;
        machine.Calls.PagesFreed += _ => freed++;
        machine.RunToTick(1);
        for (int move = 1; move <= 2; move++)
        {
            machine.Calls.Announce(MigrationEvent.Announced);
            machine.RunUntil(() => freed == move);
            machine.Calls.Announce(MigrationEvent.StopSoon);
            machine.RunUntil(() => false);
            Assert.True(machine.Calls.IsParked(0));
            machine.Calls.CompleteReady(moved: true);
            machine.Calls.Announce(MigrationEvent.Resumed);
            int told = move;
            machine.RunUntil(() => machine.Lines.Count(line => line.Contains("moved=1", StringComparison.Ordinal)) == told);
        }
    }

    [Fact]
    public void GuestThatDoesNotCooperateIsNotHeard()
    {
        using GuestMachine machine = new($"{Small} cooperate=off");
        machine.Calls.PagesFreed += _ => Assert.Fail("free pages were named");
        machine.RunToTick(1);
        Assert.False(machine.Calls.Cooperative);
        machine.Calls.Announce(MigrationEvent.Announced);
        machine.Calls.Announce(MigrationEvent.StopSoon);
        machine.RunToTick(4);
        Assert.False(machine.Calls.IsParked(0));
    }

    [Fact]
    public void ExceptionIsNamedAndEndsTheGuest()
    {
        using GuestMachine machine = new(Small);
        machine.RunToTick(1);
        machine.Memory.TryWrite(new GuestPhysicalAddress(BuiltinGuestLayout.Idt + 0x40 * 16 + 5), [0x0e]);
        machine.RunUntil(() => false);
        Assert.Equal(5, machine.ExitCode); // value 2
        Assert.StartsWith("godwit-guest exception vector=11 error=515 ", machine.Lines[^1], StringComparison.Ordinal); // #NP: the timer's gate is not present; its selector with the IDT and external bits
    }

    private static Dictionary<string, ulong> Fields(string line) =>
        Field().Matches(line).ToDictionary(
            field => field.Groups[1].Value,
            field => ulong.Parse(field.Groups[2].Value, CultureInfo.InvariantCulture));

    [GeneratedRegex(@"(\w+)=(\d+)")]
    private static partial Regex Field();
}
