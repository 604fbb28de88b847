using Godwit.Engine.Devices.Power;

namespace Godwit.Engine.Devices.Keyboard;

/// <summary>
/// The controller half of an 8042 with nothing plugged in: ports 0x60 and 0x64. It answers its own commands, so that a
/// probe ends quickly, and resets the machine by a pulse of its output port, as PC software expects. A20 is always on.
/// </summary>
public sealed class I8042 : ISavedState<I8042State>
{
    public const ushort DataPort = 0x60, CommandPort = 0x64;

    private const byte OutputFull = 0x01, SystemFlag = 0x04, LastWasCommand = 0x08, NotLocked = 0x10;
    private const byte ReadConfiguration = 0x20, WriteConfiguration = 0x60, TestAux = 0xa9, SelfTest = 0xaa, TestKeyboard = 0xab,
        ReadOutputPort = 0xd0, WriteOutputPort = 0xd1, EchoKeyboard = 0xd2, EchoAux = 0xd3, WriteAux = 0xd4, PulseFirst = 0xf0;
    private const byte SelfTestPassed = 0x55, ClockStuckLow = 0x01, OutputPortBits = 0x03, ResetLine = 0x01;

    private readonly IMachineControl _machine;

    /// <summary>Both ports disabled, translation on, system flag set.</summary>
    private byte _configuration = 0x74;

    private byte? _output;
    private byte _command;

    public I8042(IMachineControl machine)
    {
        _machine = machine;
        DataPorts = new BytePorts(1, _ => TakeOutput(), (_, value) => WriteData(value));
        CommandPorts = new BytePorts(1, _ => Status, (_, value) => WriteCommand(value));
    }

    public BytePorts DataPorts { get; }

    public BytePorts CommandPorts { get; }

    public I8042State SaveState() => new() { Configuration = _configuration, Output = _output, Command = _command };

    public void LoadState(I8042State state)
    {
        if (state.Command is not (0 or WriteConfiguration or WriteOutputPort or EchoKeyboard or EchoAux or WriteAux))
            throw new InvalidStateException($"8042: command 0x{state.Command:x} takes no parameter");
        _configuration = state.Configuration;
        _output = state.Output;
        _command = state.Command;
    }

    private byte Status => (byte)(NotLocked | SystemFlag | (_command != 0 ? LastWasCommand : 0) | (_output is not null ? OutputFull : 0));

    private byte TakeOutput()
    {
        byte value = _output ?? 0;
        _output = null;
        return value;
    }

    private void WriteCommand(byte command)
    {
        _command = 0;
        switch (command)
        {
            case ReadConfiguration:
                _output = _configuration;
                break;
            case SelfTest:
                _output = SelfTestPassed;
                break;
            case TestAux or TestKeyboard:
                _output = ClockStuckLow;
                break;
            case ReadOutputPort:
                _output = OutputPortBits;
                break;
            case WriteConfiguration or WriteOutputPort or EchoKeyboard or EchoAux or WriteAux:
                _command = command;
                break;
            // A pulse brings the output port lines named by zero bits low; line 0 is the processor's reset.
            case >= PulseFirst when (command & ResetLine) == 0:
                _machine.Reset();
                break;
        }
    }

    private void WriteData(byte value)
    {
        switch (_command)
        {
            case WriteConfiguration:
                _configuration = value;
                break;
            case WriteOutputPort when (value & ResetLine) == 0:
                _machine.Reset();
                break;
            case EchoKeyboard or EchoAux:
                _output = value;
                break;
        }
        _command = 0;
    }
}
