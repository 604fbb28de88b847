using System.Runtime.InteropServices;

namespace Godwit.Engine.Host;

/// <summary>
/// Memory for code made at run time, mapped twice: written through one address, executed through another. No page can
/// be both written and executed at the same address.
/// </summary>
internal sealed unsafe class CodeMapping : IDisposable
{
    /// <summary>Maps whole pages of a memfd that nobody else has.</summary>
    /// <param name="bytes">Size in bytes, a multiple of the page size.</param>
    public CodeMapping(nuint bytes)
    {
        Size = bytes;
        int descriptor = Native.MemfdCreate("godwit-code", Native.MFD_CLOEXEC);
        if (descriptor < 0)
            throw Failed("memfd_create");
        try
        {
            if (Native.Ftruncate(descriptor, checked((long)bytes)) != 0)
                throw Failed("ftruncate");
            Writable = Map(descriptor, Native.PROT_READ | Native.PROT_WRITE);
            Executable = Map(descriptor, Native.PROT_READ | Native.PROT_EXEC);
        }
        catch
        {
            Dispose();
            throw;
        }
        finally
        {
            // The mappings keep the memory.
            _ = Native.Close(descriptor);
        }
    }

    /// <summary>Where the memory is written.</summary>
    public byte* Writable { get; private set; }

    /// <summary>Where the same memory is executed.</summary>
    public byte* Executable { get; private set; }

    public nuint Size { get; }

    public void Dispose()
    {
        if (Writable != null)
            _ = Native.Munmap(Writable, Size);
        if (Executable != null)
            _ = Native.Munmap(Executable, Size);
        Writable = Executable = null;
    }

    private byte* Map(int descriptor, int protection)
    {
        void* mapped = Native.Mmap(null, Size, protection, Native.MAP_SHARED, descriptor, 0);
        return mapped != (void*)-1 ? (byte*)mapped : throw Failed("mmap");
    }

    private InvalidOperationException Failed(string call) =>
        new($"{call} for {Size >> 10} KiB of translated code: {Marshal.GetLastPInvokeErrorMessage()}");
}
