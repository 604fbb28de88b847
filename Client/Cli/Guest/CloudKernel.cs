using System.Text.RegularExpressions;
using Godwit.Engine.Machine;
using Godwit.Engine.Machine.Boot;

namespace Godwit.Cli.Guest;

/// <summary>What is known of Debian's packages for the guest: their names and what must be in them.</summary>
internal static partial class CloudKernel
{
    /// <summary>Depends on the current kernel of the release.</summary>
    public const string MetaPackage = "linux-image-cloud-amd64";

    public const string BusyboxPackage = "busybox-static";

    /// <summary>The kernel package that the meta-package stands for.</summary>
    public static string PackageBehind(AptPackage meta)
    {
        Match match = RealPackage().Match(meta.Depends);
        return match.Success
            ? match.Value
            : throw new GuestFetchException($"package {meta.Name} {meta.Version} names no kernel package (Depends: {meta.Depends})", "check /etc/apt/sources.list");
    }

    /// <summary>Whether a path in the kernel package is the kernel's.</summary>
    public static bool IsKernelPath(string path) => KernelPath().IsMatch(path);

    /// <summary>Whether a path in busybox-static is the shell's: /bin is a part of /usr from Debian 13 on.</summary>
    public static bool IsBusyboxPath(string path) => path is "bin/busybox" or "usr/bin/busybox";

    /// <summary>Refuses files that no machine could boot, before they are kept.</summary>
    public static void Check(ReadOnlySpan<byte> kernel, ReadOnlySpan<byte> busybox)
    {
        try
        {
            if (BootImageFormat.Detect(kernel, "its vmlinuz") != BootProtocol.Linux)
                throw new BootException("its vmlinuz is not a bzImage");
        }
        catch (BootException e)
        {
            throw new GuestFetchException($"the kernel package is not as expected ({e.Message})", "try again later", e);
        }

        // \x7fELF, 64-bit, little-endian.
        if (!busybox.StartsWith((ReadOnlySpan<byte>)[0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1]))
            throw new GuestFetchException("the busybox package is not as expected (busybox is not a 64-bit ELF file)", "try again later");
    }

    [GeneratedRegex(@"\blinux-image-[0-9][A-Za-z0-9.+~-]*-cloud-amd64\b")]
    private static partial Regex RealPackage();

    [GeneratedRegex(@"^boot/vmlinuz-[^/]+$")]
    private static partial Regex KernelPath();
}
