namespace Godwit.Silo.Checkpoints;

/// <summary>
/// Where checkpoint files are kept so that a silo's death does not take them along. Files are never changed: each has a
/// name of its own, and the ownership record says which are complete and current. Failures are <see cref="IOException"/>
/// with one line.
/// </summary>
internal interface ICheckpointStore
{
    /// <summary>Names the place: silos with the same see the same files.</summary>
    string Id { get; }

    /// <summary>A new file for a VM's checkpoint. Throws where there is clearly no room for so many bytes.</summary>
    CheckpointFile Create(string vm, long epoch, long number, long bytes);

    /// <summary>Opens a file to be read from its beginning.</summary>
    Stream Open(string vm, string file);

    /// <summary>Removes a VM's files of that epoch and earlier ones, but for those to be kept.</summary>
    void Remove(string vm, long epoch, IReadOnlyCollection<string> keep);
}

/// <summary>A file that is being written; without <see cref="CompleteAsync"/> it is gone when disposed.</summary>
internal abstract class CheckpointFile : IAsyncDisposable
{
    public abstract string Name { get; }

    public abstract Stream Stream { get; }

    /// <summary>Returns once everything written is on the disk.</summary>
    public abstract Task CompleteAsync(CancellationToken cancellation);

    public abstract ValueTask DisposeAsync();
}
