namespace Godwit.Engine.Devices.Interrupts;

/// <summary>How an interrupt message is delivered; the values are those of the ICR and of redirection entries (Intel SDM vol. 3, 11.6.1).</summary>
public enum DeliveryMode : byte
{
    Fixed = 0,
    LowestPriority = 1,
    Smi = 2,
    Nmi = 4,
    Init = 5,
    Startup = 6,
    External = 7,
}

/// <summary>Whom an inter-processor interrupt is for; the values are those of the ICR.</summary>
public enum DestinationShorthand : byte
{
    None = 0,
    Self = 1,
    AllIncludingSelf = 2,
    AllExcludingSelf = 3,
}

/// <summary>An interrupt on its way to local APICs.</summary>
/// <param name="Destination">An APIC identifier, or a logical destination; 0xffffffff is everyone.</param>
/// <param name="Logical">Whether the destination is a logical one.</param>
/// <param name="Mode">What the receiver does with it.</param>
/// <param name="Vector">The vector, for modes that have one.</param>
/// <param name="Level">Level-triggered: its EOI goes back to the I/O APIC.</param>
public readonly record struct InterruptMessage(uint Destination, bool Logical, DeliveryMode Mode, byte Vector, bool Level);

/// <summary>A local APIC as other APICs see it.</summary>
public interface IApicTarget
{
    bool Matches(uint destination, bool logical);

    /// <summary>Processor priority, for arbitration of lowest-priority messages.</summary>
    byte Priority { get; }

    /// <summary>Takes the message; false when it is dropped.</summary>
    bool Accept(DeliveryMode mode, byte vector, bool level);
}

/// <summary>What connects I/O APIC and local APICs.</summary>
public interface IApicBus
{
    /// <summary>Delivers to the addressed local APICs; false when none took it.</summary>
    bool Send(InterruptMessage message);

    /// <summary>Delivers an inter-processor interrupt by shorthand.</summary>
    void Send(InterruptMessage message, DestinationShorthand shorthand, IApicTarget sender);

    /// <summary>A local APIC has ended a level-triggered interrupt.</summary>
    void EndOfInterrupt(byte vector);
}

/// <summary>The wiring between the APICs of one machine.</summary>
public sealed class ApicBus : IApicBus
{
    /// <summary>The destination that means every local APIC.</summary>
    public const uint Broadcast = uint.MaxValue;

    private readonly List<IApicTarget> _targets = [];

    /// <summary>Receives the vectors of ended level-triggered interrupts: the I/O APIC.</summary>
    public Action<byte>? LevelEnded { get; set; }

    public void Attach(IApicTarget target) => _targets.Add(target);

    public bool Send(InterruptMessage message)
    {
        if (message.Mode == DeliveryMode.LowestPriority)
            return LeastBusy(message) is { } target && target.Accept(message.Mode, message.Vector, message.Level);
        bool taken = false;
        foreach (IApicTarget target in _targets)
            if (target.Matches(message.Destination, message.Logical))
                taken |= target.Accept(message.Mode, message.Vector, message.Level);
        return taken;
    }

    public void Send(InterruptMessage message, DestinationShorthand shorthand, IApicTarget sender)
    {
        if (shorthand == DestinationShorthand.None)
        {
            Send(message);
            return;
        }
        foreach (IApicTarget target in _targets)
            if (shorthand == DestinationShorthand.AllIncludingSelf || (target == sender) == (shorthand == DestinationShorthand.Self))
                target.Accept(message.Mode, message.Vector, message.Level);
    }

    public void EndOfInterrupt(byte vector) => LevelEnded?.Invoke(vector);

    private IApicTarget? LeastBusy(InterruptMessage message)
    {
        IApicTarget? best = null;
        foreach (IApicTarget target in _targets)
            if (target.Matches(message.Destination, message.Logical) && (best is null || target.Priority < best.Priority))
                best = target;
        return best;
    }
}
