using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using Godwit.Cli.Guest;

namespace Godwit.Drills.Tests.Guest;

/// <summary>A small Debian archive in a folder of its own, and a cache beside it; both go away.</summary>
internal sealed class DebianArchive : IDisposable
{
    public const string KernelPackage = "linux-image-6.1.0-99-cloud-amd64";

    private readonly string _root = Directory.CreateTempSubdirectory("godwit-apt-").FullName;
    private readonly StringBuilder _packages = new();

    public DebianArchive()
    {
        Directory.CreateDirectory(Archive);
        File.WriteAllText(Sources, $"deb [trusted=yes] file:{Archive} ./\n");
    }

    public string Cache => Path.Combine(_root, "cache");

    public string Archive => Path.Combine(_root, "archive");

    public string Sources => Path.Combine(_root, "sources.list");

    /// <summary>An archive with a meta-package, a kernel package and busybox-static.</summary>
    public static DebianArchive Usual(byte[]? kernel = null, string kernelPath = "boot/vmlinuz-6.1.0-99-cloud-amd64")
    {
        DebianArchive archive = new();
        archive.AddUsual("6.1.200-1", kernel, kernelPath);
        return archive;
    }

    /// <summary>Adds the three packages, the kernel in a version.</summary>
    public void AddUsual(string version, byte[]? kernel = null, string kernelPath = "boot/vmlinuz-6.1.0-99-cloud-amd64")
    {
        Add("linux-image-cloud-amd64", version, $"{KernelPackage} (= {version})", []);
        Add(KernelPackage, version, "", new() { [kernelPath] = kernel ?? Kernel(), ["lib/modules/x.ko"] = new byte[9000] });
        Add("busybox-static", "1:1.35.0-4+b1", "", new() { ["bin/busybox"] = Busybox() });
    }

    /// <summary>Enough of a bzImage to be taken for one.</summary>
    public static byte[] Kernel()
    {
        byte[] kernel = new byte[20_000];
        "HdrS"u8.CopyTo(kernel.AsSpan(0x202));
        kernel[0x206] = 0x0f;
        kernel[0x207] = 0x02;
        return kernel;
    }

    public static byte[] Busybox() => [0x7f, (byte)'E', (byte)'L', (byte)'F', 2, 1, 1, .. new byte[3000]];

    public LinuxGuestOptions Options(string? aptGet = null) => new()
    {
        Directory = Cache,
        Apt = apt => apt with { SourcesList = Sources, AptGet = aptGet ?? apt.AptGet },
    };

    /// <summary>Options under which apt cannot be started at all: for what must work without it.</summary>
    public LinuxGuestOptions OptionsWithoutApt => Options(Path.Combine(_root, "no-such-apt-get"));

    /// <summary>Takes every package off the archive.</summary>
    public void Clear()
    {
        Directory.Delete(Archive, recursive: true);
        Directory.CreateDirectory(Archive);
        _packages.Clear();
    }

    /// <summary>An executable script.</summary>
    public string Script(string name, string text)
    {
        if (OperatingSystem.IsWindows())
            throw new PlatformNotSupportedException();
        string path = Path.Combine(_root, name);
        File.WriteAllText(path, $"#!/bin/sh\n{text}\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return path;
    }

    /// <summary>Builds a package and lists it.</summary>
    public void Add(string name, string version, string depends, Dictionary<string, byte[]> files)
    {
        string tree = Path.Combine(_root, "tree-" + name);
        if (Directory.Exists(tree))
            Directory.Delete(tree, recursive: true);
        Directory.CreateDirectory(Path.Combine(tree, "DEBIAN"));
        string control = $"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.org>\n{(depends.Length == 0 ? "" : $"Depends: {depends}\n")}Description: made for a test\n";
        File.WriteAllText(Path.Combine(tree, "DEBIAN", "control"), control);
        foreach ((string path, byte[] bytes) in files)
        {
            string file = Path.Combine(tree, path);
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.WriteAllBytes(file, bytes);
        }

        string deb = Path.Combine(Archive, $"{name}_{version.Split(':')[^1]}_amd64.deb");
        using Process build = Process.Start(new ProcessStartInfo("dpkg-deb", ["--build", "--root-owner-group", "-Zgzip", tree, deb]) { RedirectStandardOutput = true })!;
        _ = build.StandardOutput.ReadToEnd();
        build.WaitForExit();
        if (build.ExitCode != 0)
            throw new InvalidOperationException($"dpkg-deb --build {name}: {build.ExitCode}");
        byte[] package = File.ReadAllBytes(deb);
        _packages.Append(control).Append($"Filename: ./{Path.GetFileName(deb)}\nSize: {package.Length}\nSHA256: {Convert.ToHexStringLower(SHA256.HashData(package))}\n\n");
        File.WriteAllText(Path.Combine(Archive, "Packages"), _packages.ToString());
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
