namespace Godwit.Engine.Migration;

/// <summary>Sends a running machine over a duplex stream: the source's side of docs/migration.md.</summary>
public static class MigrationSource
{
    /// <summary>
    /// Moves the machine. Returns once the target runs it and <paramref name="release"/> has let this copy go; the
    /// machine's memory must stay until then. Throws with the machine running again wherever the authority allowed it:
    /// <see cref="OperationCanceledException"/> where <paramref name="cancellation"/> came before the target's commit
    /// (later it has no effect), else <see cref="MigrationFailedException"/>. The stream is left to the caller, to be
    /// closed; it must honour cancellation.
    /// </summary>
    /// <param name="release">Frees this copy; called once, after the record has been seen to be the target's.</param>
    public static async Task<MigrationReport> RunAsync(
        IMigratableMachine machine,
        Stream link,
        MigrationOptions options,
        IMigrationSourceAuthority authority,
        IProgress<MigrationProgress>? progress,
        CancellationToken cancellation,
        Func<Task>? release = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxRounds, 1);
        FrameLink frames = new(link, options.SilenceLimit);
        await using (frames.ConfigureAwait(false))
        {
            using SourceRun run = new(machine, frames, options, authority, new Timeline(progress));
            return await run.RunAsync(release, cancellation).ConfigureAwait(false);
        }
    }
}
