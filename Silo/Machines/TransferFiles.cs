using System.Collections.Concurrent;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Silo.Machines;

/// <summary>
/// Snapshots on their way to or from a client: files without a name, which vanish with this process, and after a while
/// without use.
/// </summary>
internal sealed class TransferFiles : IDisposable
{
    private const int MaxPiece = 1 << 20;
    private static readonly TimeSpan _idleLimit = TimeSpan.FromMinutes(2);

    private readonly ConcurrentDictionary<string, Transfer> _files = new();
    private readonly TimeProvider _time;
    private readonly long _maxBytes;
    private readonly ITimer _sweep;

    /// <param name="maxBytes">The largest file that an upload may make.</param>
    public TransferFiles(TimeProvider time, long maxBytes)
    {
        _time = time;
        _maxBytes = maxBytes;
        _sweep = time.CreateTimer(_ => Sweep(), null, _idleLimit, _idleLimit / 4);
    }

    /// <summary>A new, empty file without a name.</summary>
    public static FileStream Create()
    {
        var path = Path.Combine(Path.GetTempPath(), $"godwit-{Guid.NewGuid():N}");
        var file = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Options = FileOptions.Asynchronous,
            UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
        });
        File.Delete(path);
        return file;
    }

    /// <summary>Keeps the file for a client; the id names it.</summary>
    public string Add(FileStream file)
    {
        var id = Guid.NewGuid().ToString("N");
        _files[id] = new Transfer(file, _time.GetTimestamp());
        return id;
    }

    public async Task<FilePiece> ReadAsync(string id, long offset, int maxBytes)
    {
        var file = Require(id);
        var length = file.Length;
        if (offset < 0 || offset > length || maxBytes <= 0)
        {
            throw new ClusterException(ClusterError.Invalid, $"Offset {offset} is outside the file of {length} bytes.");
        }

        var bytes = new byte[Math.Min(Math.Min(maxBytes, MaxPiece), length - offset)];
        var filled = 0;
        while (filled < bytes.Length)
        {
            var read = await RandomAccess.ReadAsync(file.SafeFileHandle, bytes.AsMemory(filled), offset + filled);
            if (read == 0)
            {
                throw new ClusterException(ClusterError.Failed, "The file ended early.");
            }

            filled += read;
        }

        return new FilePiece { Bytes = bytes, Length = length };
    }

    public async Task AppendAsync(string id, long offset, byte[] bytes)
    {
        var file = Require(id);
        if (offset != file.Length || bytes.Length > MaxPiece)
        {
            throw new ClusterException(ClusterError.Invalid, $"Pieces of at most {MaxPiece} bytes follow one another: the next is at {file.Length}.");
        }

        if (offset + bytes.Length > _maxBytes)
        {
            throw new ClusterException(ClusterError.NoRoom, $"A snapshot of more than {MemorySize.Format(_maxBytes)} is larger than any VM here.");
        }

        await RandomAccess.WriteAsync(file.SafeFileHandle, bytes, offset);
    }

    /// <summary>Takes the file out; the caller closes it.</summary>
    public FileStream Take(string id) =>
        _files.TryRemove(id, out var transfer) ? transfer.File : throw Unknown();

    public void Close(string id)
    {
        if (_files.TryRemove(id, out var transfer))
        {
            transfer.File.Dispose();
        }
    }

    public void Dispose()
    {
        _sweep.Dispose();
        foreach (var id in _files.Keys)
        {
            Close(id);
        }
    }

    private FileStream Require(string id)
    {
        if (!_files.TryGetValue(id, out var transfer))
        {
            throw Unknown();
        }

        transfer.Used = _time.GetTimestamp();
        return transfer.File;
    }

    private static ClusterException Unknown() => new(ClusterError.NotFound, "The file is gone: it was not used for a while, or the silo was started anew.");

    private void Sweep()
    {
        foreach (var (id, transfer) in _files)
        {
            if (_time.GetElapsedTime(transfer.Used) > _idleLimit)
            {
                Close(id);
            }
        }
    }

    private sealed class Transfer(FileStream file, long used)
    {
        public FileStream File { get; } = file;

        public long Used { get; set; } = used;
    }
}
