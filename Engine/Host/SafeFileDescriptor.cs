using Microsoft.Win32.SafeHandles;

namespace Godwit.Engine.Host;

/// <summary>A file descriptor that is closed only when no thread is using it any more.</summary>
internal sealed class SafeFileDescriptor : SafeHandleMinusOneIsInvalid
{
    internal SafeFileDescriptor(int fd)
        : base(ownsHandle: true) => SetHandle(fd);

    /// <summary>Holds the descriptor open until disposed; invalid once the descriptor is closed.</summary>
    internal Lease Acquire()
    {
        bool added = false;
        try
        {
            DangerousAddRef(ref added);
        }
        catch (ObjectDisposedException)
        {
            return default;
        }
        return new Lease(this, (int)handle);
    }

    protected override bool ReleaseHandle() => Native.Close((int)handle) == 0;

    internal readonly struct Lease(SafeFileDescriptor owner, int descriptor) : IDisposable
    {
        internal bool IsValid => owner is not null;

        internal int Descriptor => descriptor;

        public void Dispose()
        {
            if (IsValid)
                owner.DangerousRelease();
        }
    }
}
