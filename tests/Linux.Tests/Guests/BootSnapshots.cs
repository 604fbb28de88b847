using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using Godwit.Cli.Guest;
using Godwit.Engine.Machine;
using Godwit.Engine.Snapshot;

namespace Godwit.Linux.Tests.Guests;

/// <summary>
/// Snapshots of booted guests beside the guest's files, named by the content of all that made them: engine, kernel,
/// initramfs and settings. Another engine never finds them, and none is used that does not restore.
/// </summary>
internal sealed class BootSnapshots(LinuxGuest guest, string settings)
{
    /// <summary>Files of former engines that stay: branches are worked on side by side.</summary>
    private const int Kept = 6;

    private const string Prefix = "booted-";

    private readonly string _folder = Path.GetDirectoryName(guest.InitrdPath)!;
    private readonly string _file = Path.Combine(Path.GetDirectoryName(guest.InitrdPath)!, $"{Prefix}{Key(guest, settings)}.godwit.br");

    public async Task<byte[]?> FindAsync()
    {
        if (!File.Exists(_file))
            return null;
        try
        {
            using MemoryStream stream = new();
            await using (BrotliStream packed = new(File.OpenRead(_file), CompressionMode.Decompress))
                await packed.CopyToAsync(stream);
            byte[] bytes = stream.ToArray();
            stream.Position = 0;
            await using VirtualMachine machine = (VirtualMachine)await SnapshotReader.ReadAsync(stream, spec => new VirtualMachine(spec), default);
            // It is in use: the oldest go first.
            File.SetLastWriteTimeUtc(_file, DateTime.UtcNow);
            return bytes;
        }
        catch (Exception unusable) when (unusable is SnapshotException or IOException or InvalidOperationException)
        {
            return null;
        }
    }

    public async Task KeepAsync(byte[] snapshot)
    {
        string partial = $"{_file}.{Guid.NewGuid():N}";
        try
        {
            await using (BrotliStream packed = new(File.Create(partial), CompressionLevel.Fastest))
                await packed.WriteAsync(snapshot);
            File.Move(partial, _file, overwrite: true);
        }
        finally
        {
            File.Delete(partial);
        }
        foreach (FileInfo old in new DirectoryInfo(_folder).GetFiles($"{Prefix}*").OrderByDescending(file => file.LastWriteTimeUtc).Skip(Kept))
            old.Delete();
    }

    private static string Key(LinuxGuest guest, string settings)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string file in (string[])[typeof(VirtualMachine).Assembly.Location, guest.KernelPath, guest.InitrdPath])
            hash.AppendData(SHA256.HashData(File.ReadAllBytes(file)));
        hash.AppendData(Encoding.UTF8.GetBytes(settings));
        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }
}
