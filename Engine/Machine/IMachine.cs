using Godwit.Engine.Checkpoint;
using Godwit.Engine.Migration;

namespace Godwit.Engine.Machine;

/// <summary>
/// A machine as its host sees it: commands in, events out, streams for bulk. Arguments and results are plain records, so
/// that the machine may live in another process (docs/engine.md, "Machines and hosts"); nothing is shared.
/// Commands that do not fit the machine's state throw <see cref="MachineException"/> with one line that says why.
/// </summary>
public interface IMachine : IAsyncDisposable
{
    /// <summary>Builds the machine and loads its boot images; it does not run yet.</summary>
    Task CreateAsync(MachineSpec spec, BootImages images, CancellationToken cancellation);

    /// <summary>Builds the machine from a snapshot; it is paused.</summary>
    Task RestoreAsync(Stream snapshot, CancellationToken cancellation);

    /// <summary>
    /// The right to run: under an epoch, until a time by the host's monotonic clock (Stopwatch ticks). Guest code is
    /// entered only while it lasts; a later grant of the same or a higher epoch extends it. Never blocks.
    /// </summary>
    void Grant(long epoch, long expiresAtTimestamp);

    /// <summary>First entry, or entry after a pause or restore. Guest time goes on from where it stood.</summary>
    Task RunAsync(CancellationToken cancellation);

    Task PauseAsync(CancellationToken cancellation);

    /// <summary>Ends the machine: vCPUs stop, memory is released. Final.</summary>
    Task StopAsync(CancellationToken cancellation);

    Task<MachineStatus> GetStatusAsync(CancellationToken cancellation);

    /// <summary>Writes a snapshot; the guest is paused while it is written and then goes on as it was.</summary>
    Task SnapshotAsync(Stream destination, CancellationToken cancellation);

    /// <summary>
    /// Writes a checkpoint: what has changed since the one that it continues (docs/checkpoint.md). The guest stands still
    /// for milliseconds only, and runs on where this fails.
    /// </summary>
    Task<CheckpointReport> CheckpointAsync(CheckpointRequest request, Stream destination, CancellationToken cancellation);

    /// <summary>Builds the machine from a chain of checkpoints whose last has that digest; it is paused. Returns its console's end.</summary>
    Task<long> RestoreCheckpointAsync(IReadOnlyList<Stream> chain, string digest, CancellationToken cancellation);

    /// <summary>
    /// Console output from an absolute offset on (bytes since boot). Waits until there is at least one byte past the
    /// offset or the machine has ended (empty). A range that the ring has already overwritten starts at its oldest byte.
    /// Throws <see cref="ObjectDisposedException"/> once the machine has moved away: its console goes on elsewhere.
    /// </summary>
    Task<ConsoleChunk> ReadConsoleAsync(long offset, int maxBytes, CancellationToken cancellation);

    /// <summary>Bytes typed at the serial console.</summary>
    Task WriteConsoleAsync(ReadOnlyMemory<byte> input, CancellationToken cancellation);

    /// <summary>
    /// Sends the running machine over a duplex stream (docs/migration.md). Returns when the target runs and this copy's
    /// memory is released; throws <see cref="MigrationFailedException"/> otherwise, with the machine running again
    /// wherever the authority allowed it. Cancellation before the commit leaves the source running.
    /// </summary>
    Task<MigrationReport> MigrateOutAsync(Stream link, MigrationOptions options, IMigrationSourceAuthority authority, IProgress<MigrationProgress> progress, CancellationToken cancellation);

    /// <summary>
    /// Receives a machine over a duplex stream and runs it once the authority has committed. <paramref name="grant"/> is
    /// asked for the first run permission of the new epoch (Stopwatch timestamp at which it expires).
    /// </summary>
    Task<MigrationReport> MigrateInAsync(Stream link, IMigrationTargetAuthority authority, Func<long, long> grant, CancellationToken cancellation);

    /// <summary>What happens in the machine, in order; single reader; ends when the machine is disposed.</summary>
    IAsyncEnumerable<MachineEvent> Events { get; }
}

/// <summary>A machine's life: Created, Running, Paused, Ended.</summary>
public enum MachinePhase
{
    Empty,
    Created,
    Running,
    Paused,
    Ended,
}

/// <param name="Phase">Where in its life the machine is.</param>
/// <param name="EndReason">Why it ended, one line; null while it has not.</param>
/// <param name="ExitCode">The guest's code where it wrote one to the debug-exit port; 0 after power-off; null otherwise.</param>
/// <param name="ResidentBytes">Bytes of RAM that have been touched.</param>
/// <param name="ConsoleEnd">Console bytes since boot.</param>
/// <param name="RetiredInstructions">Guest instructions since boot.</param>
/// <param name="GuestNanoseconds">Guest time.</param>
public sealed record MachineStatus(
    MachinePhase Phase,
    string? EndReason,
    int? ExitCode,
    long ResidentBytes,
    long ConsoleEnd,
    ulong RetiredInstructions,
    ulong GuestNanoseconds,
    long Epoch)
{
    /// <summary>How long the vCPUs have wanted the host's CPU on this host, in nanoseconds: executing, or waiting for a core; not halted.</summary>
    public ulong BusyNanoseconds { get; init; }

    /// <summary>How late timers fired on this host because the guest's code had to be executed or prepared first.</summary>
    public TimerDelays TimerDelays { get; init; }
}

/// <param name="Offset">Absolute offset of the first byte.</param>
/// <param name="Ended">No further byte will come: the machine has ended.</param>
public sealed record ConsoleChunk(long Offset, byte[] Bytes, bool Ended);

/// <summary>Boot images as bytes.</summary>
public sealed record BootImages(ReadOnlyMemory<byte> Kernel, ReadOnlyMemory<byte> Initrd)
{
    public static BootImages None { get; } = new(default, default);
}

/// <summary>Something that happened in a machine. Timestamps are Stopwatch ticks of the machine's host (CLOCK_MONOTONIC).</summary>
public abstract record MachineEvent(long Timestamp);

/// <summary>The machine began to enter guest code under an epoch.</summary>
public sealed record RunStarted(long Timestamp, long Epoch) : MachineEvent(Timestamp);

/// <summary>The machine stopped entering guest code.</summary>
public sealed record RunStopped(long Timestamp, long Epoch, string Reason) : MachineEvent(Timestamp);

/// <summary>A guest's Log hypercall.</summary>
public sealed record GuestLogged(long Timestamp, long Epoch, ulong GuestNanoseconds, ulong Code, ulong Value) : MachineEvent(Timestamp);

/// <summary>The machine ended by itself or by command.</summary>
public sealed record MachineEnded(long Timestamp, string Reason, int? ExitCode) : MachineEvent(Timestamp);

/// <summary>A command that the machine cannot carry out; the message is one line for a person.</summary>
public class MachineException(string message, Exception? inner = null) : Exception(message, inner);
