using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;

namespace Godwit.Cli.Run;

/// <summary>Reads a boot image that somebody named on the command line.</summary>
internal static class BootFile
{
    private const long MaxBytes = 1L << 30;

    /// <summary>The file's bytes; throws <see cref="MachineException"/> with one line for what is no regular file of a sane size.</summary>
    public static async Task<byte[]> ReadAsync(string path, string what, CancellationToken cancellation)
    {
        if (Directory.Exists(path))
            throw new MachineException($"{what} {path} is a directory");
        FileInfo file = new(path);
        if (!file.Exists)
            throw new MachineException($"{what} {path} does not exist");
        // A pipe or a device has no length, and reading one may never end.
        if (file.Length == 0)
            throw new MachineException($"{what} {path} is empty, or not a regular file");
        if (file.Length > MaxBytes)
            throw new MachineException($"{what} {path} has {MemorySize.Format(file.Length)}; at most {MemorySize.Format(MaxBytes)} can be booted");
        try
        {
            return await File.ReadAllBytesAsync(path, cancellation).ConfigureAwait(false);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new MachineException($"{what} {path} cannot be read: {unreadable.Message}", unreadable);
        }
    }
}
