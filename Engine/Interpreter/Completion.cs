using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// Values of <see cref="Fault.Vector"/> that are not faults of the guest but tell the dispatcher why an instruction has
/// not completed. The instruction's RIP stands, and it is not counted.
/// </summary>
internal static unsafe class Completion
{
    /// <summary>A rep string instruction stopped between two iterations; registers say how far it came.</summary>
    public const byte Partial = 0xfe;

    /// <summary>
    /// The instruction must run alone: it reaches a device, which may look at the instruction count or end the run.
    /// Nothing was changed yet.
    /// </summary>
    public const byte Alone = 0xfd;

    /// <summary>The least of these values; all real vectors are below.</summary>
    public const byte First = Alone;

    public static bool Stop(VcpuContext* c, byte reason)
    {
        c->Fault = new Fault { Vector = reason };
        return false;
    }
}
