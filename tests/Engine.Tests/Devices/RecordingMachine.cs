using Godwit.Engine.Devices.Power;
using Godwit.Engine.Devices.Serial;

namespace Godwit.Engine.Tests.Devices;

/// <summary>Remembers how the guest ended its machine and what it sent.</summary>
internal sealed class RecordingMachine : IMachineControl, IConsoleSink
{
    internal List<string> Ends { get; } = [];

    internal List<byte> Sent { get; } = [];

    public void PowerOff() => Ends.Add("power off");

    public void Reset() => Ends.Add("reset");

    public void Exit(int code) => Ends.Add($"exit {code}");

    public void Write(byte value) => Sent.Add(value);
}
