using System.Runtime.InteropServices;

namespace Godwit.Engine.Host;

/// <summary>A memfd of fixed size, mapped shared and read-write into this process. Parts never touched, or punched out, are holes and use no memory.</summary>
public sealed unsafe class GuestRamMapping : IDisposable
{
    // struct stat of the x86-64 Linux ABI: 144 bytes, st_blocks (units of 512 bytes) at 64.
    private const int StatusBytes = 144, BlocksOffset = 64, BlockBytes = 512;

    private readonly int _fd;
    private byte* _base;

    public GuestRamMapping(ulong bytes)
    {
        Size = bytes;
        _fd = Native.MemfdCreate("godwit-ram", Native.MFD_CLOEXEC);
        if (_fd < 0)
            throw new InvalidOperationException($"memfd_create: {Marshal.GetLastPInvokeErrorMessage()}");
        if (Native.Ftruncate(_fd, checked((long)bytes)) != 0)
            throw Failed("ftruncate");
        void* mapped = Native.Mmap(null, (nuint)bytes, Native.PROT_READ | Native.PROT_WRITE, Native.MAP_SHARED | Native.MAP_NORESERVE, _fd, 0);
        if (mapped == (void*)-1)
            throw Failed("mmap");
        _base = (byte*)mapped;
    }

    public ulong Size { get; }

    public byte* Base => _base;

    // After Dispose the number may be another file's.
    private int OpenDescriptor
    {
        get
        {
            ObjectDisposedException.ThrowIf(_base == null, this);
            return _fd;
        }
    }

    /// <summary>Bytes of memory that the memfd holds now; holes not counted.</summary>
    public long AllocatedBytes
    {
        get
        {
            byte* status = stackalloc byte[StatusBytes];
            if (Native.Fstat(OpenDescriptor, status) != 0)
                throw Error("fstat");
            return *(long*)(status + BlocksOffset) * BlockBytes;
        }
    }

    /// <summary>
    /// The first byte at or after <paramref name="from"/> that is not in a hole; -1 where only a hole follows. Never
    /// touches the memory: a load from a hole would allocate it.
    /// </summary>
    public long SeekData(long from)
    {
        if ((ulong)from >= Size)
            return -1;
        long found = Native.Lseek(OpenDescriptor, from, Native.SEEK_DATA);
        if (found >= 0)
            return found;
        return Marshal.GetLastPInvokeError() == Native.ENXIO ? -1 : throw Error("lseek SEEK_DATA");
    }

    /// <summary>The first byte at or after <paramref name="from"/> that is in a hole; the size where none is.</summary>
    public long SeekHole(long from)
    {
        long found = Native.Lseek(OpenDescriptor, from, Native.SEEK_HOLE);
        return found >= 0 ? found : throw Error("lseek SEEK_HOLE");
    }

    /// <summary>Gives the memory of whole pages back; they read as zeros from then on.</summary>
    public void PunchHole(long offset, long length)
    {
        if (Native.Fallocate(OpenDescriptor, Native.FALLOC_FL_PUNCH_HOLE | Native.FALLOC_FL_KEEP_SIZE, offset, length) != 0)
            throw Error("fallocate PUNCH_HOLE");
    }

    public void Dispose()
    {
        if (_base == null)
            return;
        _ = Native.Munmap(_base, (nuint)Size);
        _ = Native.Close(_fd);
        _base = null;
    }

    private InvalidOperationException Error(string call) =>
        new($"{call} on {Size >> 20} MiB guest memory: {Marshal.GetLastPInvokeErrorMessage()}");

    private InvalidOperationException Failed(string call)
    {
        InvalidOperationException error = Error(call);
        _ = Native.Close(_fd);
        return error;
    }
}
