using Godwit.Engine.Paravirt.Workload;

namespace Godwit.Cli.Guest;

/// <summary>What to fetch and where to keep it.</summary>
public sealed record LinuxGuestOptions
{
    /// <summary>The cache; null for $XDG_CACHE_HOME/godwit/guests.</summary>
    public string? Directory { get; init; }

    /// <summary>Files for the initramfs beside busybox and init: the self-checking workload, unless others are given.</summary>
    public IReadOnlyList<InitramfsFile> ExtraFiles { get; init; } = [new InitramfsFile("bin/workload", WorkloadProgram.Build(), Executable: true)];

    /// <summary>For tests: other tools or sources than the system's.</summary>
    internal Func<AptOptions, AptOptions> Apt { get; init; } = options => options;
}

/// <summary>
/// Debian's stock cloud kernel and an initramfs of busybox-static, ready to boot: the guest of `godwit drill --guest linux`.
/// </summary>
/// <param name="KernelPath">The unmodified vmlinuz.</param>
/// <param name="InitrdPath">The initramfs.</param>
/// <param name="Version">The kernel package's version.</param>
/// <param name="Kernel">Where the kernel is from.</param>
/// <param name="Busybox">Where busybox is from.</param>
/// <param name="FromCache">Nothing was downloaded.</param>
public sealed record LinuxGuest(string KernelPath, string InitrdPath, string Version, GuestManifestEntry Kernel, GuestManifestEntry Busybox, bool FromCache)
{
    /// <summary>What the kernel should be told on a machine of this engine, before any godwit.* words (docs/linux-guest.md, "Command line").</summary>
    public const string CommandLine = "console=ttyS0 cryptomgr.notests panic=-1";

    /// <summary>
    /// Makes sure the guest is in the cache and returns it. A cached one is checked and used without a network; else the
    /// packages are downloaded by apt, without root, and nothing is installed.
    /// </summary>
    /// <exception cref="GuestFetchException">The guest cannot be had: one line with what failed and what to do.</exception>
    public static async Task<LinuxGuest> EnsureAsync(LinuxGuestOptions options, IProgress<GuestFetchProgress>? progress, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(options);
        string folder = Path.GetFullPath(options.Directory ?? GuestCache.DefaultFolder());
        try
        {
            GuestCache cache = new(folder);
            using IDisposable only = await cache.LockAsync(() => progress?.Report(new GuestFetchProgress(GuestFetchStage.WaitingForOther, 0)), cancellation).ConfigureAwait(false);
            CachedGuest? cached = await cache.FindAsync(cancellation).ConfigureAwait(false);
            CachedGuest guest = cached ?? await new GuestFetcher(cache, options.Apt(new AptOptions { Directory = cache.AptFolder }), progress).FetchAsync(cancellation).ConfigureAwait(false);
            string initrd = await cache.KeepInitramfsAsync(InitramfsBuilder.Build(guest.Busybox, options.ExtraFiles), cancellation).ConfigureAwait(false);
            return new LinuxGuest(Path.Combine(guest.Folder, GuestCache.KernelFile), initrd, guest.Manifest.Kernel.PackageVersion, guest.Manifest.Kernel, guest.Manifest.Busybox, cached is not null);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new GuestFetchException($"the guest cache {folder} cannot be used ({e.Message})", "choose another folder with --dir", e);
        }
    }
}
