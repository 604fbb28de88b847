using Godwit.Engine.Machine;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Migration;

/// <summary>A machine as migration and snapshots see it. Implemented by VirtualMachine.</summary>
public interface IMigratableMachine
{
    MachineSpec Spec { get; }

    GuestMemory Memory { get; }

    /// <summary>Guest time now, in nanoseconds.</summary>
    ulong GuestNanoseconds { get; }

    /// <summary>Console bytes since boot.</summary>
    long ConsoleEnd { get; }

    /// <summary>Stops vCPUs at an instruction boundary and devices with them; completes when nothing of the guest runs any more.</summary>
    Task PauseAsync();

    /// <summary>
    /// Lets the guest run on; guest time goes on from where it stood plus <paramref name="elapsed"/>. Negative only where
    /// a drill plants "clock-back": the machine then sets its clock back, as it never does otherwise.
    /// </summary>
    void Resume(TimeSpan elapsed);

    /// <summary>CPU and device state as tagged sections, architectural only. Paused only; RAM is not part of it.</summary>
    IReadOnlyList<StateSection> SaveState();

    /// <summary>Replaces CPU and device state. Paused or never started only. Throws InvalidStateException and leaves the machine unusable on bad input.</summary>
    void LoadState(IReadOnlyList<StateSection> sections);

    /// <summary>The paravirtual side of the handoff.</summary>
    IGuestHandshake Guest { get; }
}

/// <summary>One part of a machine's saved state: a device or the CPU, as a MessagePack record.</summary>
/// <param name="Tag">Unique in the machine, e.g. "vcpu0", "lapic0", "uart0".</param>
/// <param name="Critical">Whether a reader that does not know the tag must refuse the whole.</param>
public sealed record StateSection(string Tag, bool Critical, ReadOnlyMemory<byte> Payload);

/// <summary>The event a subscribed guest is shown; the numbers are part of the guest interface (docs/paravirt.md).</summary>
public enum MigrationEvent
{
    None = 0,
    Announced = 1,
    StopSoon = 2,
    Resumed = 3,
}

/// <summary>How migration talks with a guest that knows it is virtual. A guest that says nothing costs nothing.</summary>
public interface IGuestHandshake
{
    /// <summary>Whether the guest has called Subscribe or Poll since it booted.</summary>
    bool Cooperative { get; }

    /// <summary>Publishes an event to the guest: shared page, interrupt, Poll.</summary>
    void Announce(MigrationEvent what);

    /// <summary>Completes when the guest calls Ready (its vCPU stays parked in the call); cancelled with the token.</summary>
    Task WaitReadyAsync(CancellationToken cancellation);

    /// <summary>Ends a pending Ready call when the machine next runs: result 1 moved, 0 stayed. No effect where none is pending.</summary>
    void CompleteReady(bool moved);

    /// <summary>Takes the pages the guest has declared free since the session opened and has not written since; see DirtySession.</summary>
    event Action<IReadOnlyList<PageRange>>? PagesFreed;
}
