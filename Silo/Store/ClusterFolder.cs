using System.Text.Json;
using Godwit.Access;
using Godwit.Grains.Interfaces;

namespace Godwit.Silo.Store;

/// <summary>
/// The folder that makes processes on this machine one cluster: where the embedded store is, its data, and the secret
/// that silos show one another. Only its owner may read it.
/// </summary>
public sealed class ClusterFolder
{
    public ClusterFolder(string path) => Path = System.IO.Path.GetFullPath(path);

    public string Path { get; }

    public string DataPath => System.IO.Path.Combine(Path, "store");

    public string CheckpointPath => System.IO.Path.Combine(Path, "checkpoints");

    private string StoreFile => System.IO.Path.Combine(Path, LocalCluster.StoreFile);

    public void Create() => Directory.CreateDirectory(Path, OwnerFile.FolderMode);

    /// <summary>The cluster's secret, made on first use.</summary>
    public ClusterSecret Secret() => ClusterSecret.ReadOrCreate(Path);

    public StoreNote? ReadStore() => LocalCluster.FindStore(Path);

    public void WriteStore(StoreNote note) => OwnerFile.Write(StoreFile, JsonSerializer.Serialize(note, LocalCluster.Json), replace: true);

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
            UnixCreateMode = OwnerFile.FileMode,
        });
    }
}
