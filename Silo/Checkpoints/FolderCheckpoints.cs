using System.Globalization;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Silo.Checkpoints;

/// <summary>
/// Checkpoints in a folder that the silos share: one of this machine, or one of shared storage. A file is
/// VM/EPOCH-NUMBER-RANDOM; its name is never used again, so that neither a silo that was frozen nor a VM made anew under an
/// old name can write to, or remove, what another relies on.
/// </summary>
internal sealed class FolderCheckpoints : ICheckpointStore
{
    private const UnixFileMode OwnerFolder = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode OwnerFile = UnixFileMode.UserRead | UnixFileMode.UserWrite;
    private const int Buffer = 1 << 20;

    /// <summary>Left free on the disk, for the store's log and whoever else writes there.</summary>
    private const long Reserve = 64L << 20;

    private readonly string _folder;
    private readonly Func<string, long> _freeBytes;

    /// <summary>Makes the folder where there is none. Throws <see cref="IOException"/> where that cannot be.</summary>
    public FolderCheckpoints(string folder)
        : this(folder, path => new DriveInfo(path).AvailableFreeSpace)
    {
    }

    /// <param name="freeBytes">Free bytes on a path's disk.</param>
    internal FolderCheckpoints(string folder, Func<string, long> freeBytes)
    {
        _folder = folder;
        _freeBytes = freeBytes;
        Directory.CreateDirectory(folder, OwnerFolder);
        Id = Identify();
    }

    public string Id { get; }

    public CheckpointFile Create(string vm, long epoch, long number, long bytes)
    {
        if (_freeBytes(_folder) is var free && free < bytes + Reserve)
        {
            throw new IOException($"the disk of {_folder} has {MemorySize.Format(free)} free, too little for a checkpoint of {MemorySize.Format(bytes)} and {MemorySize.Format(Reserve)} in reserve");
        }

        var folder = FolderOf(vm);
        Directory.CreateDirectory(folder, OwnerFolder);
        var name = string.Create(CultureInfo.InvariantCulture, $"{epoch}-{number}-{Guid.NewGuid():N}");
        return new NewFile(name, Path.Combine(folder, name));
    }

    public Stream Open(string vm, string file) =>
        TryReadEpoch(file, out _)
            ? new FileStream(Path.Combine(FolderOf(vm), file), new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.Read, Share = FileShare.Read | FileShare.Delete, BufferSize = Buffer, Options = FileOptions.SequentialScan })
            : throw new IOException($"\"{file}\" is not a checkpoint file's name");

    public void Remove(string vm, long epoch, IReadOnlyCollection<string> keep)
    {
        var folder = FolderOf(vm);
        try
        {
            foreach (var path in Directory.EnumerateFiles(folder))
            {
                var name = Path.GetFileName(path);
                if (TryReadEpoch(name, out var of) && of <= epoch && !keep.Contains(name))
                {
                    File.Delete(path);
                }
            }

            if (keep.Count == 0)
            {
                Directory.Delete(folder);
            }
        }
        catch (DirectoryNotFoundException)
        {
            // It has none, or another silo was quicker.
        }
        catch (IOException) when (keep.Count == 0 && Directory.Exists(folder))
        {
            // Files of a later epoch are there.
        }
    }

    private static bool TryReadEpoch(string name, out long epoch)
    {
        epoch = 0;
        var parts = name.Split('-');
        return parts.Length == 3
            && long.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out epoch)
            && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out _)
            && Guid.TryParseExact(parts[2], "N", out _);
    }

    private string FolderOf(string vm)
    {
        VmName.Require(vm);
        return Path.Combine(_folder, vm);
    }

    /// <summary>The folder's own name, which travels with it: two machines may have folders of the same path.</summary>
    private string Identify()
    {
        var file = Path.Combine(_folder, "id");
        if (!File.Exists(file))
        {
            var part = $"{file}.{Guid.NewGuid():N}";
            File.WriteAllText(part, Guid.NewGuid().ToString("N"));
            try
            {
                File.Move(part, file, overwrite: false);
            }
            catch (IOException) when (File.Exists(file))
            {
                File.Delete(part);
            }
        }

        var id = File.ReadAllText(file).Trim();
        return Guid.TryParseExact(id, "N", out _) ? id : throw new IOException($"{file} does not hold the folder's id; remove it while no silo runs.");
    }

    private sealed class NewFile : CheckpointFile
    {
        private readonly string _path;
        private readonly FileStream _stream;
        private bool _complete;

        public NewFile(string name, string path)
        {
            Name = name;
            _path = path;
            _stream = new FileStream(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.Read | FileShare.Delete, BufferSize = Buffer, UnixCreateMode = OwnerFile });
        }

        public override string Name { get; }

        public override Stream Stream => _stream;

        public override async Task CompleteAsync(CancellationToken cancellation)
        {
            // A flush to the disk blocks, and may for long.
            await Task.Run(() => _stream.Flush(flushToDisk: true), cancellation);
            await _stream.DisposeAsync();
            _complete = true;
        }

        public override async ValueTask DisposeAsync()
        {
            try
            {
                await _stream.DisposeAsync();
            }
            catch (IOException) when (!_complete)
            {
                // What did not fit is still in its buffer; it goes all the same.
            }

            if (!_complete)
            {
                File.Delete(_path);
            }
        }
    }
}
