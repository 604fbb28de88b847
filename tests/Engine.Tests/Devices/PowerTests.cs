using Godwit.Engine.Devices.DebugPort;
using Godwit.Engine.Devices.Keyboard;
using Godwit.Engine.Devices.Power;
using Xunit;

namespace Godwit.Engine.Tests.Devices;

public sealed class PowerTests
{
    private readonly ManualClock _clock = new();
    private readonly RecordingLine _line = new();
    private readonly RecordingMachine _machine = new();
    private readonly AcpiPm _pm;

    public PowerTests() => _pm = new AcpiPm(_clock, _clock.Timers, _line, _machine);

    [Fact]
    public void ThePmTimerCountsAtItsRate()
    {
        Assert.Equal(0u, _pm.Device.ReadPort(8, 4));
        _clock.Advance(2_000_000_000);
        Assert.Equal(2 * 3579545u, _pm.Device.ReadPort(8, 4));
        Assert.Null(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void OverflowsOfThePmTimerInterruptWhereEnabled()
    {
        _pm.Device.WritePort(2, 2, 0x0001);
        ulong half = (ulong)Math.Ceiling((1ul << 31) * 1e9 / 3579545);
        _clock.Advance(half - 1000);
        Assert.False(_line.Level);
        _clock.Advance(2000);
        Assert.True(_line.Level);
        Assert.Equal(0x0001u, _pm.Device.ReadPort(0, 2));
        _pm.Device.WritePort(0, 2, 0x0001);
        Assert.False(_line.Level);
        Assert.NotNull(_clock.Timers.NextDeadline);
    }

    [Fact]
    public void ThePowerButtonInterruptsWhereEnabled()
    {
        _pm.PressPowerButton();
        Assert.False(_line.Level);
        _pm.Device.WritePort(2, 2, 0x0100);
        Assert.True(_line.Level);
        _pm.Device.WritePort(0, 2, 0x0100);
        Assert.False(_line.Level);
    }

    [Fact]
    public void AcpiModeIsAlwaysOn() => Assert.Equal(0x0001u, _pm.Device.ReadPort(4, 2));

    [Theory]
    [InlineData(0x3401, true)]
    [InlineData(0x1401, false)]
    [InlineData(0x2001, false)]
    [InlineData(0x3c01, false)]
    public void OnlySleepTypeFiveWithSleepEnablePowersOff(uint control, bool off)
    {
        _pm.Device.WritePort(4, 2, control);
        Assert.Equal(off ? ["power off"] : [], _machine.Ends);
    }

    [Theory]
    [InlineData(0x02, false)]
    [InlineData(0x06, true)]
    [InlineData(0x0e, true)]
    [InlineData(0x04, true)]
    public void TheResetPortResetsByBitTwo(uint value, bool resets)
    {
        ResetPort port = new(_machine);
        port.Ports.WritePort(0, 1, value);
        Assert.Equal(resets ? ["reset"] : [], _machine.Ends);
        Assert.Equal(value & 0x0a, port.Ports.ReadPort(0, 1));
    }

    [Theory]
    [InlineData(0u, 1)]
    [InlineData(0x10u, 33)]
    [InlineData(0x7fu, 255)]
    public void TheDebugPortExitsWithTwiceItsValuePlusOne(uint value, int code)
    {
        new DebugExit(_machine).WritePort(0, 4, value);
        Assert.Equal([$"exit {code}"], _machine.Ends);
    }

    [Theory]
    [InlineData(0xfe)]
    [InlineData(0xf0)]
    public void TheKeyboardControllerResetsByPulse(uint command)
    {
        I8042 keyboard = new(_machine);
        Assert.Equal(0u, keyboard.CommandPorts.ReadPort(0, 1) & 0x03);
        keyboard.CommandPorts.WritePort(0, 1, command);
        Assert.Equal(["reset"], _machine.Ends);
    }

    [Fact]
    public void TheKeyboardControllerResetsByItsOutputPort()
    {
        I8042 keyboard = new(_machine);
        keyboard.CommandPorts.WritePort(0, 1, 0xd1);
        keyboard.DataPorts.WritePort(0, 1, 0x03);
        Assert.Empty(_machine.Ends);
        keyboard.CommandPorts.WritePort(0, 1, 0xd1);
        keyboard.DataPorts.WritePort(0, 1, 0x02);
        Assert.Equal(["reset"], _machine.Ends);
    }

    [Theory]
    [InlineData(0xaa, 0x55)]
    [InlineData(0xab, 0x01)]
    [InlineData(0xa9, 0x01)]
    [InlineData(0xd0, 0x03)]
    [InlineData(0x20, 0x74)]
    public void TheKeyboardControllerAnswersItsOwnCommands(uint command, uint answer)
    {
        I8042 keyboard = new(_machine);
        keyboard.CommandPorts.WritePort(0, 1, command);
        Assert.Equal(1u, keyboard.CommandPorts.ReadPort(0, 1) & 1);
        Assert.Equal(answer, keyboard.DataPorts.ReadPort(0, 1));
        Assert.Equal(0u, keyboard.CommandPorts.ReadPort(0, 1) & 1);
    }

    [Fact]
    public void TheKeyboardControllerKeepsItsConfiguration()
    {
        I8042 keyboard = new(_machine);
        keyboard.CommandPorts.WritePort(0, 1, 0x60);
        keyboard.DataPorts.WritePort(0, 1, 0x47);
        keyboard.CommandPorts.WritePort(0, 1, 0x20);
        Assert.Equal(0x47u, keyboard.DataPorts.ReadPort(0, 1));
    }
}
