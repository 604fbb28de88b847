using Godwit.Engine.Machine;

namespace Godwit.Engine.Migration;

/// <summary>Receives a machine over a duplex stream and runs it: the target's side of docs/migration.md.</summary>
public static class MigrationTarget
{
    /// <summary>
    /// Prepares a machine as the source describes it, fills it, and, once everything is verified and the authority has
    /// committed, lets it run. Returns when it runs and the source has let go (or has not answered within the silence
    /// limit). Throws <see cref="MigrationFailedException"/>, or <see cref="OperationCanceledException"/> where
    /// <paramref name="cancellation"/> came before the commit, with the machine disposed. The stream is left to the
    /// caller, to be closed; it must honour cancellation.
    /// </summary>
    /// <param name="prepare">
    /// Builds an empty machine, not running, from a spec that is well-formed but a stranger's. What it throws is sent
    /// to the source as the reason of the refusal (the message's first line). The machine is disposed here on failure,
    /// where it is <see cref="IAsyncDisposable"/> or <see cref="IDisposable"/>; its memory in any case.
    /// </param>
    /// <param name="granted">Called with the epoch once the record is the target's, before the guest runs.</param>
    /// <param name="silenceLimit">A peer that shows no sign of life for this long is gone; null: 10 s.</param>
    public static async Task<MigrationReport> RunAsync(
        Stream link,
        Func<MachineSpec, IMigratableMachine> prepare,
        IMigrationTargetAuthority authority,
        Func<long, Task> granted,
        IProgress<MigrationProgress>? progress,
        CancellationToken cancellation,
        TimeSpan? silenceLimit = null)
    {
        FrameLink frames = new(link, silenceLimit ?? new MigrationOptions().SilenceLimit);
        await using (frames.ConfigureAwait(false))
            return await new TargetRun(frames, prepare, authority, granted, new Timeline(progress)).RunAsync(cancellation).ConfigureAwait(false);
    }
}
