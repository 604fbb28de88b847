using Godwit.Engine.Devices.Cmos;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class RtcTests
{
    private const ulong Second = 1_000_000_000;

    private readonly ManualClock _clock = new();
    private readonly RecordingLine _line = new();
    private readonly Rtc _rtc;

    public RtcTests() => _rtc = new Rtc(_clock, _clock.Timers, _line);

    private byte Get(int register)
    {
        _rtc.Ports.WritePort(0, 1, (uint)register);
        return (byte)_rtc.Ports.ReadPort(1, 1);
    }

    private void Put(int register, int value)
    {
        _rtc.Ports.WritePort(0, 1, (uint)register);
        _rtc.Ports.WritePort(1, 1, (uint)value);
    }

    private string Shown() => $"{Get(0x32):x2}{Get(9):x2}-{Get(8):x2}-{Get(7):x2} {Get(4):x2}:{Get(2):x2}:{Get(0):x2}";

    [Fact]
    public void ItShowsTheWallClockAndKnowsLeapYears()
    {
        Assert.Equal("2024-02-29 23:59:58", Shown());
        Assert.Equal(0x80, Get(0x0d));
        _clock.Advance(2 * Second);
        Assert.Equal("2024-03-01 00:00:00", Shown());
        Assert.Equal(6, Get(6));
    }

    [Theory]
    [InlineData(0x02, 0x23, 0x59)]
    [InlineData(0x06, 23, 59)]
    [InlineData(0x00, 0x91, 0x59)]
    [InlineData(0x04, 0x80 | 11, 59)]
    public void HoursFollowTheNotationOfRegisterB(int registerB, int hour, int minute)
    {
        Put(0x0b, registerB);
        Assert.Equal(hour, Get(4));
        Assert.Equal(minute, Get(2));
    }

    [Fact]
    public void TimeSetByTheGuestGoesOnFromThere()
    {
        Put(0x0b, 0x82);
        (int Register, int Value)[] time = [(0x32, 0x20), (9, 0x30), (8, 0x12), (7, 0x31), (4, 0x23), (2, 0x59), (0, 0x59)];
        foreach ((int register, int value) in time)
            Put(register, value);
        _clock.Advance(10 * Second);
        Assert.Equal("2030-12-31 23:59:59", Shown());
        Put(0x0b, 0x02);
        Assert.Equal("2030-12-31 23:59:59", Shown());
        _clock.Advance(Second);
        Assert.Equal("2031-01-01 00:00:00", Shown());
    }

    [Fact]
    public void NonsenseIsBroughtIntoRange()
    {
        Put(0x0b, 0x82);
        foreach (int register in new[] { 0, 2, 4, 7, 8, 9, 0x32 })
            Put(register, 0xff);
        Put(0x0b, 0x02);
        Assert.Equal("2199-12-31 23:59:59", Shown());
    }

    [Fact]
    public void AnUpdateIsAnnounced244MicrosecondsBefore()
    {
        _clock.Advance(Second - 244_001);
        Assert.Equal(0, Get(0x0a) & 0x80);
        _clock.Advance(1);
        Assert.Equal(0x80, Get(0x0a) & 0x80);
        _clock.Advance(244_000);
        Assert.Equal(0, Get(0x0a) & 0x80);
    }

    [Fact]
    public void WithoutEnabledInterruptsNothingIsArmed()
    {
        Put(5, 0x12);
        Assert.Null(_clock.Timers.NextDeadline);
        _clock.Advance(3 * Second);
        Assert.Equal(0x50, Get(0x0c));
        Assert.Equal(0, _line.Rises);
    }

    [Fact]
    public void ThePeriodicInterruptWaitsForItsFlagToBeRead()
    {
        Put(0x0b, 0x42);
        ulong period = Second / 1024;
        _clock.Advance(period + 1);
        Assert.True(_line.Level);
        Assert.Null(_clock.Timers.NextDeadline);
        Assert.Equal(0xc0, Get(0x0c));
        Assert.False(_line.Level);
        _clock.Advance(period + 1);
        Assert.Equal(2, _line.Rises);
    }

    [Fact]
    public void TheUpdateInterruptComesOnTheSecond()
    {
        _clock.Advance(300_000_000);
        Put(0x0b, 0x12);
        Assert.Equal(Second, _clock.Timers.NextDeadline);
        _clock.Advance(Second);
        Assert.Equal(0xd0, Get(0x0c) & 0xf0);
    }

    [Theory]
    [InlineData(0x00, 0x00, 0x00, 2)]
    [InlineData(0x57, 0x59, 0x23, 86399)]
    [InlineData(0xff, 0xff, 0xff, 1)]
    [InlineData(0x10, 0xff, 0xff, 12)]
    [InlineData(0x00, 0x30, 0xc0, 1802)]
    public void TheAlarmComesAtItsTime(int seconds, int minutes, int hours, ulong expected)
    {
        Put(1, seconds);
        Put(3, minutes);
        Put(5, hours);
        Put(0x0b, 0x22);
        _clock.Advance(expected * Second - 1);
        Assert.Equal(0, _line.Rises);
        _clock.Advance(1);
        Assert.Equal(1, _line.Rises);
        Assert.Equal(0xa0, Get(0x0c) & 0xa0);
    }

    [Fact]
    public void AnImpossibleAlarmNeverComes()
    {
        Put(1, 0x77);
        Put(0x0b, 0x22);
        Assert.Null(_clock.Timers.NextDeadline);
        _clock.Advance(2 * 86400 * Second);
        Assert.Equal(0, Get(0x0c) & 0x20);
    }

    /// <summary>The host's calendar goes on while guest time stands still.</summary>
    [Fact]
    public void AnAlarmThatPassedDuringAPauseComesAtOnceAfterARestore()
    {
        Put(1, 0x00);
        Put(3, 0x30);
        Put(5, 0xc0);
        Put(0x0b, 0x22);
        ManualClock later = new() { WallStart = _clock.WallStart + 3600 * Second, Nanoseconds = _clock.Nanoseconds };
        RecordingLine line = new();
        Rtc restored = new(later, later.Timers, line);
        restored.LoadState(_rtc.SaveState());
        Assert.Equal(later.Nanoseconds, later.Timers.NextDeadline);
        later.Advance(0);
        Assert.True(line.Level);
    }

    [Fact]
    public void TimeThatIsSetForwardHasNotPassed()
    {
        Put(5, 0x12);
        Get(0x0c);
        Put(4, 0x20);
        Put(4, 0x22);
        Assert.Equal(0, Get(0x0c) & 0x30);
    }

    [Fact]
    public void OtherBytesAreMemoryAndTheIndexPortHoldsTheNmiMask()
    {
        Put(0x40, 0xa5);
        Assert.Equal(0xa5, Get(0x40));
        _rtc.Ports.WritePort(0, 1, 0x80 | 0x40);
        Assert.True(_rtc.NmiDisabled);
        Assert.Equal(0xa5u, _rtc.Ports.ReadPort(1, 1));
        _rtc.Ports.WritePort(0, 1, 0x00);
        Assert.False(_rtc.NmiDisabled);
    }
}
