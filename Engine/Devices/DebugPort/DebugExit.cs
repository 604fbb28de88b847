using Godwit.Engine.Devices.Power;

namespace Godwit.Engine.Devices.DebugPort;

/// <summary>
/// The port by which test guests end their machine, as QEMU's isa-debug-exit does: exit code value*2+1. Values
/// above 30 bits lose their highest two.
/// </summary>
public sealed class DebugExit(IMachineControl machine) : IPortDevice
{
    public const ushort Port = 0xf4;

    public const int PortCount = 4;

    public uint ReadPort(int offset, int size) => 0;

    public void WritePort(int offset, int size, uint value)
    {
        if (offset == 0)
            machine.Exit((int)(value & 0x3fff_ffff) << 1 | 1);
    }
}
