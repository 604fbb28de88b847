using System.Security.Cryptography;

namespace Godwit.Cli.Guest;

/// <summary>Fills a cache, whose lock is held, from Debian's packages.</summary>
internal sealed class GuestFetcher(GuestCache cache, AptOptions apt, IProgress<GuestFetchProgress>? progress)
{
    private const long MostKernelBytes = 64 << 20;
    private const long MostBusyboxBytes = 16 << 20;

    private readonly AptRepository _repository = new(apt);

    public async Task<CachedGuest> FetchAsync(CancellationToken cancellation)
    {
        using ScratchFolder scratch = cache.CreateScratch();
        (AptPackage kernel, AptPackage busybox) = await ResolveAsync(cancellation).ConfigureAwait(false);
        IReadOnlyList<string> files;
        try
        {
            files = await DownloadAsync([kernel, busybox], scratch.Subfolder("packages"), cancellation).ConfigureAwait(false);
        }
        catch (GuestFetchException) when (_repository.DistrustLists())
        {
            // An update takes the version before it off the archive: lists that are hours old may name what is gone.
            (kernel, busybox) = await ResolveAsync(cancellation).ConfigureAwait(false);
            files = await DownloadAsync([kernel, busybox], scratch.Subfolder("packages-again"), cancellation).ConfigureAwait(false);
        }

        Action<double> unpacked = Reporter(GuestFetchStage.Unpack);
        byte[] kernelBytes = await DebianPackageFile.ReadAsync(apt, files[0], CloudKernel.IsKernelPath, MostKernelBytes, unpacked, cancellation).ConfigureAwait(false);
        byte[] busyboxBytes = await DebianPackageFile.ReadAsync(apt, files[1], CloudKernel.IsBusyboxPath, MostBusyboxBytes, _ => { }, cancellation).ConfigureAwait(false);
        unpacked(100);
        CloudKernel.Check(kernelBytes, busyboxBytes);

        GuestManifest manifest = new(GuestManifest.CurrentFormat, Entry(kernel, GuestCache.KernelFile, kernelBytes), Entry(busybox, GuestCache.BusyboxFile, busyboxBytes));
        return await cache.KeepAsync(scratch.Subfolder("guest"), manifest, kernelBytes, busyboxBytes, cancellation).ConfigureAwait(false);
    }

    private async Task<(AptPackage Kernel, AptPackage Busybox)> ResolveAsync(CancellationToken cancellation)
    {
        Action<double> percent = Reporter(GuestFetchStage.PackageLists);
        string? complaint = await _repository.UpdateAsync(percent, cancellation).ConfigureAwait(false);
        AptPackage meta = await FindAsync(CloudKernel.MetaPackage).ConfigureAwait(false);
        AptPackage kernel = await FindAsync(CloudKernel.PackageBehind(meta)).ConfigureAwait(false);
        AptPackage busybox = await FindAsync(CloudKernel.BusyboxPackage).ConfigureAwait(false);
        percent(100);
        return (kernel, busybox);

        async Task<AptPackage> FindAsync(string name) =>
            await _repository.FindAsync(name, cancellation).ConfigureAwait(false)
            ?? throw new GuestFetchException($"Debian's package {name} cannot be had ({complaint ?? "no source of this system's apt has it"})", "check the network and /etc/apt/sources.list");
    }

    private async Task<IReadOnlyList<string>> DownloadAsync(IReadOnlyList<AptPackage> packages, string folder, CancellationToken cancellation)
    {
        Action<double> percent = Reporter(GuestFetchStage.Download);
        IReadOnlyList<string> files = await _repository.DownloadAsync(packages, folder, percent, cancellation).ConfigureAwait(false);
        foreach ((AptPackage package, string file) in packages.Zip(files))
        {
            await using FileStream stream = File.OpenRead(file);
            string digest = Convert.ToHexStringLower(await SHA256.HashDataAsync(stream, cancellation).ConfigureAwait(false));
            if (digest != package.Sha256)
                throw new GuestFetchException($"{Path.GetFileName(file)} is not what the package lists name (SHA-256 {digest}, not {package.Sha256})", "try again later");
        }

        percent(100);
        return files;
    }

    private Action<double> Reporter(GuestFetchStage stage)
    {
        Report(0);
        return Report;

        void Report(double percent) => progress?.Report(new GuestFetchProgress(stage, percent));
    }

    private static GuestManifestEntry Entry(AptPackage package, string file, byte[] bytes) =>
        new(package.Name, package.Version, package.Sha256, file, GuestManifest.Digest(bytes));
}
