namespace Godwit.Engine.Devices.Interrupts;

/// <summary>Answers the processor's interrupt acknowledge cycle for external interrupts: the 8259 pair.</summary>
public interface IVectorSource
{
    /// <summary>Takes the highest request in service and returns its vector; a spurious one when the request has gone.</summary>
    byte AcknowledgeVector();
}
