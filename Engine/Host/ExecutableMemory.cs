using System.Runtime.InteropServices;

namespace Godwit.Engine.Host;

/// <summary>Anonymous memory that may be written and executed.</summary>
internal sealed unsafe class ExecutableMemory : IDisposable
{
    /// <summary>Maps whole pages.</summary>
    /// <param name="bytes">Size in bytes, rounded up to pages by the kernel.</param>
    /// <param name="address">Where to map; 0 for anywhere. What is mapped there already is never replaced.</param>
    public ExecutableMemory(nuint bytes, nuint address = 0)
    {
        int flags = Native.MAP_PRIVATE | Native.MAP_ANONYMOUS | (address != 0 ? Native.MAP_FIXED_NOREPLACE : 0);
        void* mapped = Native.Mmap((void*)address, bytes, Native.PROT_READ | Native.PROT_WRITE | Native.PROT_EXEC, flags, -1, 0);
        if (mapped == (void*)-1)
            throw new InvalidOperationException($"mmap of {bytes} bytes of executable memory: {Marshal.GetLastPInvokeErrorMessage()}");
        Base = (byte*)mapped;
        Size = bytes;
    }

    public byte* Base { get; private set; }

    public nuint Size { get; }

    public void Dispose()
    {
        if (Base == null)
            return;
        _ = Native.Munmap(Base, Size);
        Base = null;
    }
}
