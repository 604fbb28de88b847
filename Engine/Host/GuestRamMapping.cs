using System.Runtime.InteropServices;

namespace Godwit.Engine.Host;

/// <summary>A memfd of fixed size, mapped shared and read-write into this process.</summary>
public sealed unsafe class GuestRamMapping : IDisposable
{
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

    /// <summary>The memfd.</summary>
    public int FileDescriptor => _fd;

    public void Dispose()
    {
        if (_base == null)
            return;
        _ = Native.Munmap(_base, (nuint)Size);
        _ = Native.Close(_fd);
        _base = null;
    }

    private InvalidOperationException Failed(string call)
    {
        string message = $"{call} of {Size >> 20} MiB guest memory: {Marshal.GetLastPInvokeErrorMessage()}";
        _ = Native.Close(_fd);
        return new InvalidOperationException(message);
    }
}
