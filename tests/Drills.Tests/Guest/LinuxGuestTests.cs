using System.Diagnostics;
using Godwit.Cli.Guest;
using Xunit;

namespace Godwit.Drills.Tests.Guest;

public sealed class LinuxGuestTests
{
    [AptFact]
    public async Task PackagesBecomeKernelInitramfsAndManifest()
    {
        using DebianArchive archive = DebianArchive.Usual();
        CollectedProgress progress = new();

        LinuxGuest guest = await LinuxGuest.EnsureAsync(archive.Options(), progress, default);

        Assert.Equal(DebianArchive.Kernel(), await File.ReadAllBytesAsync(guest.KernelPath));
        Assert.Equal(InitramfsBuilder.Build(DebianArchive.Busybox(), archive.Options().ExtraFiles), await File.ReadAllBytesAsync(guest.InitrdPath));
        Assert.Equal("6.1.200-1", guest.Version);
        Assert.Equal(DebianArchive.KernelPackage, guest.Kernel.Package);
        Assert.Equal("1:1.35.0-4+b1", guest.Busybox.PackageVersion);
        Assert.False(guest.FromCache);
        Assert.Equal([GuestFetchStage.PackageLists, GuestFetchStage.Download, GuestFetchStage.Unpack], progress.Stages);
        Assert.All(progress.Reports, r => Assert.InRange(r.Percent, 0, 100));
        Assert.Empty(Leftovers(archive));
    }

    [AptFact]
    public async Task CachedGuestNeedsNoApt()
    {
        using DebianArchive archive = DebianArchive.Usual();
        LinuxGuest first = await LinuxGuest.EnsureAsync(archive.Options(), null, default);

        LinuxGuest second = await LinuxGuest.EnsureAsync(archive.OptionsWithoutApt, null, default);

        Assert.Equal(first with { FromCache = true }, second);
    }

    [AptFact]
    public async Task EveryInitramfsOfOneGuestIsKept()
    {
        using DebianArchive archive = DebianArchive.Usual();
        LinuxGuest usual = await LinuxGuest.EnsureAsync(archive.Options(), null, default);

        LinuxGuest bare = await LinuxGuest.EnsureAsync(archive.OptionsWithoutApt with { ExtraFiles = [] }, null, default);

        Assert.NotEqual(usual.InitrdPath, bare.InitrdPath);
        Assert.Equal(usual.KernelPath, bare.KernelPath);
        Assert.True(File.Exists(usual.InitrdPath));
        Assert.Equal(InitramfsBuilder.Build(DebianArchive.Busybox(), []), await File.ReadAllBytesAsync(bare.InitrdPath));
    }

    [AptFact]
    public async Task DamagedCacheIsFetchedAgain()
    {
        using DebianArchive archive = DebianArchive.Usual();
        foreach (string file in (string[])["vmlinuz", "busybox", "manifest.json"])
        {
            LinuxGuest guest = await LinuxGuest.EnsureAsync(archive.Options(), null, default);
            string damaged = Path.Combine(Path.GetDirectoryName(guest.KernelPath)!, file);
            byte[] bytes = await File.ReadAllBytesAsync(damaged);
            bytes[bytes.Length / 2] ^= 1;
            await File.WriteAllBytesAsync(damaged, bytes);

            LinuxGuest again = await LinuxGuest.EnsureAsync(archive.Options(), null, default);

            Assert.False(again.FromCache, file);
            Assert.Equal(DebianArchive.Kernel(), await File.ReadAllBytesAsync(again.KernelPath));
        }
    }

    [AptFact]
    public async Task ListsThatNameAPackageThatIsGoneAreRenewed()
    {
        using DebianArchive archive = DebianArchive.Usual();
        LinuxGuest first = await LinuxGuest.EnsureAsync(archive.Options(), null, default);
        Directory.Delete(Path.GetDirectoryName(first.KernelPath)!, recursive: true);
        archive.Clear();
        archive.AddUsual("6.1.201-1");

        LinuxGuest second = await LinuxGuest.EnsureAsync(archive.Options(), null, default);

        Assert.Equal("6.1.201-1", second.Version);
    }

    [AptFact]
    public async Task ManifestThatNamesFilesElsewhereIsNotBelieved()
    {
        using DebianArchive archive = DebianArchive.Usual();
        LinuxGuest guest = await LinuxGuest.EnsureAsync(archive.Options(), null, default);
        string manifest = Path.Combine(Path.GetDirectoryName(guest.KernelPath)!, "manifest.json");
        await File.WriteAllTextAsync(manifest, (await File.ReadAllTextAsync(manifest)).Replace("\"vmlinuz\"", "\"../../vmlinuz\"", StringComparison.Ordinal));

        Assert.False((await LinuxGuest.EnsureAsync(archive.Options(), null, default)).FromCache);
    }

    [AptFact]
    public async Task TwoAtOnceDownloadOnce()
    {
        using DebianArchive archive = DebianArchive.Usual();

        LinuxGuest[] both = await Task.WhenAll(
            Task.Run(() => LinuxGuest.EnsureAsync(archive.Options(), null, default)),
            Task.Run(() => LinuxGuest.EnsureAsync(archive.Options(), null, default)));

        Assert.Single(both, g => !g.FromCache);
        Assert.Equal(both[0].KernelPath, both[1].KernelPath);
    }

    [AptFact]
    public async Task LockHeldByAnotherIsWaitedForAndSaid()
    {
        using DebianArchive archive = DebianArchive.Usual();
        Directory.CreateDirectory(archive.Cache);
        FileStream other = new(Path.Combine(archive.Cache, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        CollectedProgress progress = new(report =>
        {
            if (report.Stage == GuestFetchStage.WaitingForOther)
                other.Dispose();
        });

        LinuxGuest guest = await LinuxGuest.EnsureAsync(archive.Options(), progress, default);

        Assert.Equal(GuestFetchStage.WaitingForOther, progress.Stages.First());
        Assert.True(File.Exists(guest.KernelPath));
    }

    [AptFact]
    public async Task CancelledDownloadEndsAptAndLeavesNothing()
    {
        using DebianArchive archive = DebianArchive.Usual();
        string pid = Path.Combine(archive.Archive, "pid");
        string blocked = archive.Script("apt-get", $"""
            case "$*" in
                *download*) echo $$ >{pid}; echo dlstatus:1:50.0:x; exec tail -f /dev/null ;;
                *) exec apt-get "$@" ;;
            esac
            """);
        using CancellationTokenSource cancel = new();
        CollectedProgress progress = new(report =>
        {
            if (report == new GuestFetchProgress(GuestFetchStage.Download, 50))
                cancel.Cancel();
        });

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => LinuxGuest.EnsureAsync(archive.Options(blocked), progress, cancel.Token));

        Assert.False(Directory.Exists($"/proc/{(await File.ReadAllTextAsync(pid)).Trim()}"), "apt-get still runs");
        Assert.Empty(Leftovers(archive));
        Assert.False((await LinuxGuest.EnsureAsync(archive.Options(), null, default)).FromCache);
    }

    [AptFact]
    public async Task WhatAKilledFetchLeftIsRemoved()
    {
        using DebianArchive archive = DebianArchive.Usual();
        Directory.CreateDirectory(Path.Combine(archive.Cache, ".tmp-1", "guest"));

        await LinuxGuest.EnsureAsync(archive.Options(), null, default);

        Assert.Empty(Leftovers(archive));
    }

    [AptFact]
    public async Task AptWorksInPrivateFoldersWithoutTheSystemsHooks()
    {
        using DebianArchive archive = DebianArchive.Usual();
        await LinuxGuest.EnsureAsync(archive.Options(), null, default);

        using Process dump = Process.Start(new ProcessStartInfo("apt-config", ["-c", Path.Combine(archive.Cache, "apt", "apt.conf"), "dump"]) { RedirectStandardOutput = true })!;
        string[] effective = (await dump.StandardOutput.ReadToEndAsync()).Split('\n');

        // A hook is a nameless child: APT::Update::Post-Invoke:: "command";
        Assert.DoesNotContain(effective, line => line.StartsWith("APT::Update::", StringComparison.Ordinal) && line.Contains(":: \"", StringComparison.Ordinal));
        Assert.Contains($"Dir::State \"{archive.Cache}/apt/state\";", effective);
        Assert.Contains($"Dir::Cache \"{archive.Cache}/apt/cache\";", effective);
        Assert.Contains("APT::Architectures:: \"amd64\";", effective);
    }

    [Fact]
    public async Task MissingAptIsSaidInOneLineWithTheWayOut()
    {
        using DebianArchive archive = new();
        GuestFetchException error = await Assert.ThrowsAsync<GuestFetchException>(() => LinuxGuest.EnsureAsync(archive.OptionsWithoutApt, null, default));
        AssertOneLine(error, "no-such-apt-get cannot be started", "Debian");
    }

    [AptFact]
    public async Task UnreachableArchiveIsSaidInOneLine()
    {
        using DebianArchive archive = new();
        // Nothing listens on port 1 of this machine.
        await File.WriteAllTextAsync(archive.Sources, "deb [trusted=yes] http://127.0.0.1:1/ ./\n");
        GuestFetchException error = await Assert.ThrowsAsync<GuestFetchException>(() => LinuxGuest.EnsureAsync(archive.Options(), null, default));
        AssertOneLine(error, "linux-image-cloud-amd64 cannot be had", "127.0.0.1");
    }

    [AptFact]
    public async Task ArchiveWithoutThePackageIsSaidInOneLine()
    {
        using DebianArchive archive = new();
        archive.Add("hello", "1", "", []);
        GuestFetchException error = await Assert.ThrowsAsync<GuestFetchException>(() => LinuxGuest.EnsureAsync(archive.Options(), null, default));
        AssertOneLine(error, "linux-image-cloud-amd64 cannot be had", "no source");
    }

    [AptFact]
    public async Task KernelThatIsNoKernelIsRefusedAndNotKept()
    {
        using DebianArchive archive = DebianArchive.Usual(kernel: new byte[5000]);
        GuestFetchException error = await Assert.ThrowsAsync<GuestFetchException>(() => LinuxGuest.EnsureAsync(archive.Options(), null, default));
        AssertOneLine(error, "its vmlinuz is not a bzImage");
        Assert.Empty(Directory.EnumerateDirectories(archive.Cache, "linux-*"));
        Assert.Empty(Leftovers(archive));
    }

    [AptFact]
    public async Task PackageWithoutAKernelIsRefused()
    {
        using DebianArchive archive = DebianArchive.Usual(kernelPath: "boot/sub/vmlinuz-1");
        GuestFetchException error = await Assert.ThrowsAsync<GuestFetchException>(() => LinuxGuest.EnsureAsync(archive.Options(), null, default));
        AssertOneLine(error, DebianArchive.KernelPackage, "not in it");
    }

    [AptFact]
    public async Task PackageThatIsNotWhatTheListsNameIsRefused()
    {
        using DebianArchive archive = DebianArchive.Usual();
        string deb = Directory.EnumerateFiles(archive.Archive, "busybox*.deb").Single();
        byte[] bytes = await File.ReadAllBytesAsync(deb);
        bytes[^20] ^= 1;
        await File.WriteAllBytesAsync(deb, bytes);

        GuestFetchException error = await Assert.ThrowsAsync<GuestFetchException>(() => LinuxGuest.EnsureAsync(archive.Options(), null, default));

        AssertOneLine(error, "busybox");
        Assert.Empty(Directory.EnumerateDirectories(archive.Cache, "linux-*"));
    }

    [Fact]
    public async Task CacheThatCannotBeAFolderIsSaidInOneLine()
    {
        using DebianArchive archive = new();
        LinuxGuestOptions options = archive.Options() with { Directory = Path.Combine(archive.Sources, "cache") };
        GuestFetchException error = await Assert.ThrowsAsync<GuestFetchException>(() => LinuxGuest.EnsureAsync(options, null, default));
        AssertOneLine(error, archive.Sources, "--dir");
    }

    private static IEnumerable<string> Leftovers(DebianArchive archive) =>
        Directory.EnumerateFileSystemEntries(archive.Cache, ".tmp-*");

    private static void AssertOneLine(GuestFetchException error, params string[] parts)
    {
        Assert.DoesNotContain('\n', error.Message);
        Assert.StartsWith("cannot fetch the Linux guest: ", error.Message, StringComparison.Ordinal);
        Assert.Contains("--guest builtin", error.Message, StringComparison.Ordinal);
        foreach (string part in parts)
            Assert.Contains(part, error.Message, StringComparison.Ordinal);
    }
}
