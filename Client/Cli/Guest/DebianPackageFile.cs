using System.Formats.Tar;

namespace Godwit.Cli.Guest;

/// <summary>Reads single files out of a .deb without unpacking it.</summary>
internal static class DebianPackageFile
{
    /// <summary>
    /// The bytes of the first regular file that <paramref name="wanted"/> accepts (paths are relative, without "./").
    /// </summary>
    /// <param name="mostBytes">Larger files are refused: a kernel or a shell is not a disk image.</param>
    public static async Task<byte[]> ReadAsync(AptOptions options, string package, Func<string, bool> wanted, long mostBytes, Action<double> percent, CancellationToken cancellation)
    {
        byte[]? found = null;
        long packageBytes = new FileInfo(package).Length;
        ToolResult result = await ToolProcess.StreamAsync(options.DpkgDeb, ["--fsys-tarfile", package], Path.GetDirectoryName(package)!, async stream =>
        {
            await using TarReader tar = new(stream);
            long seen = 0;
            while (await tar.GetNextEntryAsync(copyData: false, cancellation).ConfigureAwait(false) is { } entry)
            {
                string name = entry.Name.StartsWith("./", StringComparison.Ordinal) ? entry.Name[2..] : entry.Name;
                if (found is null && entry.EntryType is TarEntryType.RegularFile or TarEntryType.V7RegularFile && wanted(name))
                    found = await CopyAsync(entry, package, mostBytes, cancellation).ConfigureAwait(false);
                seen += entry.Length;
                // Packages unpack to about four times their size: enough for a bar.
                percent(Math.Min(99, 25.0 * seen / packageBytes));
            }
        }, cancellation).ConfigureAwait(false);
        if (result.ExitCode != 0)
            throw Damaged(package, result.Errors is [var first, ..] ? first : $"dpkg-deb ended with {result.ExitCode}");
        percent(100);
        return found ?? throw Damaged(package, "the file that is wanted is not in it");
    }

    private static async Task<byte[]> CopyAsync(TarEntry entry, string package, long mostBytes, CancellationToken cancellation)
    {
        if (entry.Length > mostBytes)
            throw Damaged(package, $"{entry.Name} has {entry.Length} bytes");
        byte[] bytes = new byte[entry.Length];
        if (entry.DataStream is { } data)
            await data.ReadExactlyAsync(bytes, cancellation).ConfigureAwait(false);
        return bytes;
    }

    private static GuestFetchException Damaged(string package, string why) =>
        new($"{Path.GetFileName(package)} is not as expected ({why})", "try again later");
}
