using System.Text.Json;

namespace Godwit.Cli.Guest;

/// <summary>A guest in the cache, as checked when it was read.</summary>
internal sealed record CachedGuest(string Folder, GuestManifest Manifest, byte[] Busybox);

/// <summary>
/// The folder that keeps fetched guests: linux-VERSION/ with kernel, busybox and manifest.json, initramfs files named by
/// their content, and apt's private state. Everything appears in it by a rename, and one process at a time changes it.
/// </summary>
internal sealed class GuestCache(string folder)
{
    public const string KernelFile = "vmlinuz";
    public const string BusyboxFile = "busybox";

    /// <summary>How often a lock held by another process is tried again: files have no event for its release.</summary>
    private static readonly TimeSpan LockRetry = TimeSpan.FromMilliseconds(200);

    private const int EWOULDBLOCK = 11;

    public string AptFolder => Path.Combine(folder, "apt");

    /// <summary>$XDG_CACHE_HOME/godwit/guests, by default ~/.cache/godwit/guests.</summary>
    public static string DefaultFolder()
    {
        // The XDG base directory specification takes a relative path for unset.
        string? set = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        string cache = Path.IsPathFullyQualified(set ?? "") ? set! : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        return Path.Combine(cache, "godwit", "guests");
    }

    /// <summary>Waits until this process alone may change the cache; dispose to release. The system releases it if the process dies.</summary>
    public async Task<IDisposable> LockAsync(Action waiting, CancellationToken cancellation)
    {
        Directory.CreateDirectory(folder);
        string path = Path.Combine(folder, ".lock");
        using PeriodicTimer retry = new(LockRetry);
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when ((e.HResult & 0xffff) == EWOULDBLOCK)
            {
                waiting();
                await retry.WaitForNextTickAsync(cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The cached guest that was fetched last and is still as it was fetched; null where there is none.</summary>
    public async Task<CachedGuest?> FindAsync(CancellationToken cancellation)
    {
        foreach (string candidate in Directory.EnumerateDirectories(folder, "linux-*").OrderByDescending(Directory.GetLastWriteTimeUtc))
        {
            if (await GuestManifest.ReadCheckedAsync(candidate, cancellation).ConfigureAwait(false) is { } found)
                return new CachedGuest(candidate, found.Manifest, found.Busybox);
        }

        return null;
    }

    /// <summary>A new empty folder on the cache's file system; dispose removes what is left of it.</summary>
    public ScratchFolder CreateScratch()
    {
        // What a killed fetch left behind; the lock is held, so nobody works in it.
        foreach (string stale in Directory.EnumerateDirectories(folder, ".tmp-*"))
            Directory.Delete(stale, recursive: true);
        return new ScratchFolder(Path.Combine(folder, $".tmp-{Guid.NewGuid():N}"));
    }

    /// <summary>Fills a scratch folder and moves it into place. A folder of that name there failed its check, or it would have been used.</summary>
    public async Task<CachedGuest> KeepAsync(string scratch, GuestManifest manifest, byte[] kernel, byte[] busybox, CancellationToken cancellation)
    {
        await File.WriteAllBytesAsync(Path.Combine(scratch, KernelFile), kernel, cancellation).ConfigureAwait(false);
        await File.WriteAllBytesAsync(Path.Combine(scratch, BusyboxFile), busybox, cancellation).ConfigureAwait(false);
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(manifest, GuestJson.Indented.GuestManifest);
        await File.WriteAllBytesAsync(Path.Combine(scratch, GuestManifest.FileName), json, cancellation).ConfigureAwait(false);
        string final = Path.Combine(folder, $"linux-{manifest.Kernel.PackageVersion}");
        if (Directory.Exists(final))
            Directory.Delete(final, recursive: true);
        Directory.Move(scratch, final);
        return new CachedGuest(final, manifest, busybox);
    }

    /// <summary>Keeps an initramfs under a name made from its content; one that is there and right is left alone.</summary>
    public async Task<string> KeepInitramfsAsync(byte[] image, CancellationToken cancellation)
    {
        string final = Path.Combine(folder, $"initramfs-{GuestManifest.Digest(image)[..16]}.img");
        if (File.Exists(final) && (await File.ReadAllBytesAsync(final, cancellation).ConfigureAwait(false)).AsSpan().SequenceEqual(image))
            return final;
        using ScratchFolder scratch = CreateScratch();
        string finished = Path.Combine(scratch.Subfolder("initramfs"), "image");
        await File.WriteAllBytesAsync(finished, image, cancellation).ConfigureAwait(false);
        File.Move(finished, final, overwrite: true);
        return final;
    }
}

/// <summary>A folder that goes away when it is disposed, with all that is still in it.</summary>
internal sealed class ScratchFolder : IDisposable
{
    private readonly string _path;

    public ScratchFolder(string path)
    {
        _path = path;
        Directory.CreateDirectory(path);
    }

    /// <summary>Makes a folder in it.</summary>
    public string Subfolder(string name) => Directory.CreateDirectory(Path.Combine(_path, name)).FullName;

    public void Dispose() => Directory.Delete(_path, recursive: true);
}
