using System.IO.Compression;
using System.Text;

namespace Godwit.Cli.Guest;

/// <summary>A file to put into an initramfs.</summary>
/// <param name="Path">Relative to the root: "bin/workload". Folders on the way are made.</param>
/// <param name="Content">Its bytes.</param>
/// <param name="Executable">Mode 0755 rather than 0644.</param>
public sealed record InitramfsFile(string Path, ReadOnlyMemory<byte> Content, bool Executable);

/// <summary>Makes the guest's initramfs: busybox, a small init, and what is added to them. The same input gives the same bytes.</summary>
public static class InitramfsBuilder
{
    private static readonly string[] Folders = ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"];

    /// <summary>The archive in a gzip envelope.</summary>
    /// <param name="busybox">A statically linked busybox for x86-64.</param>
    /// <param name="extraFiles">Files to add.</param>
    public static byte[] Build(ReadOnlyMemory<byte> busybox, IReadOnlyList<InitramfsFile> extraFiles)
    {
        ArgumentNullException.ThrowIfNull(extraFiles);
        using MemoryStream compressed = new();
        // Stored, not deflated: an emulated machine takes 40 million instructions to inflate busybox, and disk space is cheap.
        using (GZipStream gzip = new(compressed, CompressionLevel.NoCompression))
        {
            CpioWriter archive = new(gzip);
            foreach (string folder in Folders)
                archive.Directory(folder);
            // init's standard files before it has mounted anything.
            archive.CharacterDevice("dev/console", 5, 1);
            archive.File("bin/busybox", busybox.Span, executable: true);
            archive.Symlink("bin/sh", "busybox");
            archive.File("init", Encoding.UTF8.GetBytes(InitScript.Text), executable: true);
            HashSet<string> made = [.. Folders];
            foreach (InitramfsFile file in extraFiles)
            {
                // The kernel's unpacker makes none.
                for (int end = file.Path.IndexOf('/', StringComparison.Ordinal); end >= 0; end = file.Path.IndexOf('/', end + 1))
                    if (made.Add(file.Path[..end]))
                        archive.Directory(file.Path[..end]);
                archive.File(file.Path, file.Content.Span, file.Executable);
            }
            archive.Finish();
        }

        return compressed.ToArray();
    }
}
