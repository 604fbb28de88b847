using Godwit.Engine.Devices;

namespace Godwit.Engine.Paravirt;

/// <summary>
/// The doorbell port. Only a 4-byte OUT is a hypercall; reads give all ones, as a port with no device.
/// </summary>
/// <param name="currentVcpu">The vCPU whose instruction is at the bus.</param>
/// <param name="parked">Makes that vCPU leave guest code after the instruction.</param>
public sealed class HypercallDoorbell(Hypercalls hypercalls, Func<IHypercallContext> currentVcpu, Action parked) : IPortDevice
{
    /// <inheritdoc/>
    public uint ReadPort(int offset, int size) => uint.MaxValue >> (32 - size * 8);

    /// <inheritdoc/>
    public void WritePort(int offset, int size, uint value)
    {
        if (offset != 0 || size != 4)
            return;
        IHypercallContext vcpu = currentVcpu();
        // OUTSD brings its value from memory; only OUT from EAX is a call.
        if ((uint)vcpu.Rax != value)
            return;
        if (hypercalls.Call(vcpu) == HypercallOutcome.Parked)
            parked();
    }
}
