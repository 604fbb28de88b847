using System.Security.Cryptography;
using System.Text.Json;
using Godwit.Grains.Interfaces;

namespace Godwit.Silo.Store;

/// <summary>
/// The folder that makes processes on this machine one cluster: where the embedded store is, its data, and the secret
/// that silos show one another. Only its owner may read it.
/// </summary>
public sealed class ClusterFolder
{
    private const UnixFileMode OwnerFolder = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode OwnerFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const int TokenBytes = 32;

    public ClusterFolder(string path) => Path = System.IO.Path.GetFullPath(path);

    public string Path { get; }

    public string DataPath => System.IO.Path.Combine(Path, "store");

    private string StoreFile => System.IO.Path.Combine(Path, LocalCluster.StoreFile);

    private string TokenFile => System.IO.Path.Combine(Path, "token");

    public void Create() => Directory.CreateDirectory(Path, OwnerFolder);

    /// <summary>The cluster's secret, made on first use.</summary>
    public byte[] Token()
    {
        Create();
        if (!File.Exists(TokenFile))
        {
            WriteWhole(TokenFile, Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(TokenBytes)), replace: false);
        }

        var text = File.ReadAllText(TokenFile).Trim();
        if (text.Length != 2 * TokenBytes || !text.All(char.IsAsciiHexDigit))
        {
            throw new InvalidDataException($"{TokenFile} does not hold {2 * TokenBytes} hex digits; remove it while no silo runs.");
        }

        return Convert.FromHexString(text);
    }

    public StoreNote? ReadStore() => LocalCluster.FindStore(Path);

    public void WriteStore(StoreNote note) => WriteWhole(StoreFile, JsonSerializer.Serialize(note, LocalCluster.Json), replace: true);

    /// <summary>Removes the note if it is still this process's.</summary>
    public void RemoveStore(StoreNote note)
    {
        if (ReadStore() == note)
        {
            File.Delete(StoreFile);
        }
    }

    /// <summary>Held by the store process for its life, so that two never share one data folder. Null where another holds it.</summary>
    public FileStream? TryHoldStore()
    {
        Create();
        try
        {
            return Lock("store.lock");
        }
        catch (IOException)
        {
            return null;
        }
    }

    private FileStream Lock(string name)
    {
        var path = System.IO.Path.Combine(Path, name);
        return new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.OpenOrCreate,
            Access = FileAccess.ReadWrite,
            Share = FileShare.None,
            UnixCreateMode = OwnerFile,
        });
    }

    /// <summary>By rename, so that a reader sees the old or the new, never a part.</summary>
    private static void WriteWhole(string path, string text, bool replace)
    {
        var part = $"{path}.{Environment.ProcessId}";
        using (var file = new FileStream(part, new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write, UnixCreateMode = OwnerFile }))
        using (var writer = new StreamWriter(file))
        {
            writer.Write(text);
        }

        try
        {
            File.Move(part, path, replace);
        }
        catch (IOException) when (!replace && File.Exists(path))
        {
            // Another process was first: what it wrote stands.
            File.Delete(part);
        }
    }
}
