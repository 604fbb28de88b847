using Godwit.Engine.Devices.Pit;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class PitTests
{
    private const ulong Millisecond = 1_000_000;

    private readonly ManualClock _clock = new();
    private readonly RecordingLine _line = new();
    private readonly Pit8254 _pit;

    public PitTests() => _pit = new Pit8254(_clock, _clock.Timers, _line);

    private static ulong Ticks(ulong ticks) => (ticks * 1_000_000_000 + Pit8254.InputHz - 1) / Pit8254.InputHz;

    private void Program(int counter, int mode, int count)
    {
        _pit.CounterPorts.WritePort(3, 1, (uint)(counter << 6 | 0x30 | mode << 1));
        _pit.CounterPorts.WritePort(counter, 1, (uint)(count & 0xff));
        _pit.CounterPorts.WritePort(counter, 1, (uint)(count >> 8));
    }

    private int ReadCount(int counter)
    {
        _pit.CounterPorts.WritePort(3, 1, (uint)(counter << 6));
        return (int)(_pit.CounterPorts.ReadPort(counter, 1) | _pit.CounterPorts.ReadPort(counter, 1) << 8);
    }

    [Fact]
    public void ModeZeroRaisesTheLineOnceAfterItsCount()
    {
        Program(0, 0, 1000);
        _clock.Advance(Ticks(1000) - 1);
        Assert.False(_line.Level);
        _clock.Advance(1);
        Assert.True(_line.Level);
        _clock.Advance(100 * Millisecond);
        Assert.Equal(1, _line.Rises);
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public void PeriodicModesRiseOnceAPeriod(int mode)
    {
        Program(0, mode, 1193);
        int before = _line.Rises;
        _clock.Advance(Ticks(1193 * 50));
        Assert.Equal(50, _line.Rises - before);
    }

    [Fact]
    public void ModeFourStrobesOnceAfterItsCount()
    {
        Program(0, 4, 500);
        int before = _line.Rises;
        _clock.Advance(Ticks(500));
        Assert.Equal(before, _line.Rises);
        _clock.Advance(Ticks(1) + 1);
        Assert.Equal(before + 1, _line.Rises);
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void AModeWithoutACountArmsNothing()
    {
        Program(0, 2, 1000);
        _pit.CounterPorts.WritePort(3, 1, 0x30);
        Assert.Null(_clock.Timers.NextDeadline);
        Assert.False(_line.Level);
    }

    [Fact]
    public void AnUnwatchedPeriodicCounterWakesNobodyTwice()
    {
        Program(0, 2, 1000);
        _line.IsObserved = false;
        _clock.Advance(Ticks(1000));
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void EdgesThatPassedUnwatchedArriveAsOneWhenTheLineIsWatchedAgain()
    {
        Program(0, 2, 1000);
        _line.IsObserved = false;
        _clock.Advance(Ticks(10_500));
        int before = _line.Rises;
        _line.Observing!();
        Assert.Equal(before + 1, _line.Rises);
        _line.IsObserved = true;
        _clock.Advance(Ticks(1000));
        Assert.Equal(before + 2, _line.Rises);
    }

    [Theory]
    [InlineData(0, 1000, 300, 700)]
    [InlineData(0, 1000, 1001, 0xffff)]
    [InlineData(2, 1000, 300, 700)]
    [InlineData(2, 1000, 2300, 700)]
    [InlineData(3, 1000, 100, 800)]
    [InlineData(3, 1000, 600, 800)]
    [InlineData(4, 1000, 300, 700)]
    [InlineData(2, 0, 6, 65530)]
    public void TheCountFollowsTime(int mode, int count, ulong ticks, int expected)
    {
        Program(0, mode, count);
        _clock.Advance(Ticks(ticks));
        Assert.Equal(expected, ReadCount(0));
    }

    [Fact]
    public void ALatchedCountStandsUntilItIsRead()
    {
        Program(0, 2, 1000);
        _clock.Advance(Ticks(100));
        _pit.CounterPorts.WritePort(3, 1, 0x00);
        _clock.Advance(Ticks(100));
        Assert.Equal(900u, _pit.CounterPorts.ReadPort(0, 1) | _pit.CounterPorts.ReadPort(0, 1) << 8);
        Assert.Equal(800u, _pit.CounterPorts.ReadPort(0, 1) | _pit.CounterPorts.ReadPort(0, 1) << 8);
    }

    [Fact]
    public void ReadBackGivesStatusAndThenCount()
    {
        Program(0, 2, 1000);
        _clock.Advance(Ticks(400));
        _pit.CounterPorts.WritePort(3, 1, 0xc2);
        Assert.Equal(0xb4u, _pit.CounterPorts.ReadPort(0, 1));
        Assert.Equal(600u, _pit.CounterPorts.ReadPort(0, 1) | _pit.CounterPorts.ReadPort(0, 1) << 8);
    }

    [Fact]
    public void StatusShowsACountNotYetLoaded()
    {
        _pit.CounterPorts.WritePort(3, 1, 0x30);
        _pit.CounterPorts.WritePort(3, 1, 0xe2);
        Assert.Equal(0x70u, _pit.CounterPorts.ReadPort(0, 1));
    }

    [Fact]
    public void ANewCountOfAPeriodicCounterWaitsForTheEndOfThePeriod()
    {
        Program(0, 2, 1000);
        int before = _line.Rises;
        _clock.Advance(Ticks(600));
        _pit.CounterPorts.WritePort(0, 1, 100);
        _pit.CounterPorts.WritePort(0, 1, 0);
        Assert.Equal(400, ReadCount(0));
        _clock.Advance(Ticks(400) + 1);
        Assert.Equal(before + 1, _line.Rises);
        _clock.Advance(Ticks(300) + 1);
        Assert.Equal(before + 4, _line.Rises);
    }

    [Fact]
    public void BcdCountersCountInDecimal()
    {
        _pit.CounterPorts.WritePort(3, 1, 0x30 | 2 << 1 | 1);
        _pit.CounterPorts.WritePort(0, 1, 0x00);
        _pit.CounterPorts.WritePort(0, 1, 0x10);
        _clock.Advance(Ticks(1));
        Assert.Equal(0x0999, ReadCount(0));
    }

    /// <summary>How Linux calibrates the TSC: mode 0 on counter 2, gate up, wait for port 0x61 bit 5.</summary>
    [Fact]
    public void Counter2ShowsItsOutputInPort61AndStopsWithItsGate()
    {
        Program(2, 0, 1000);
        Assert.Equal(0u, _pit.ControlPorts.ReadPort(0, 1) & 0x20);
        _clock.Advance(Ticks(2000));
        Assert.Equal(0u, _pit.ControlPorts.ReadPort(0, 1) & 0x20);
        _pit.ControlPorts.WritePort(0, 1, 0x01);
        _clock.Advance(Ticks(500));
        _pit.ControlPorts.WritePort(0, 1, 0x00);
        _clock.Advance(Ticks(5000));
        Assert.Equal(0u, _pit.ControlPorts.ReadPort(0, 1) & 0x20);
        _pit.ControlPorts.WritePort(0, 1, 0x01);
        _clock.Advance(Ticks(499));
        Assert.Equal(0x01u, _pit.ControlPorts.ReadPort(0, 1) & 0x21);
        _clock.Advance(Ticks(2));
        Assert.Equal(0x21u, _pit.ControlPorts.ReadPort(0, 1) & 0x21);
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void TheRefreshBitToggles()
    {
        uint before = _pit.ControlPorts.ReadPort(0, 1) & 0x10;
        _clock.Advance(15085);
        Assert.NotEqual(before, _pit.ControlPorts.ReadPort(0, 1) & 0x10);
    }

    [Fact]
    public void ARestoredCounterGoesOnWhereItStood()
    {
        Program(0, 2, 1000);
        _clock.Advance(Ticks(300));
        ManualClock clock = new() { Nanoseconds = _clock.Nanoseconds };
        RecordingLine line = new();
        Pit8254 restored = new(clock, clock.Timers, line);
        restored.LoadState(_pit.SaveState());
        clock.Advance(Ticks(700) + 1);
        Assert.Equal(1, line.Rises);
    }
}
