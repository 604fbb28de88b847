using System.Runtime.InteropServices;

namespace Godwit.Engine.Host;

/// <summary>
/// Lets one thread sleep until a time, in nanoseconds, or until another thread wakes it; a wake that comes first is not
/// lost. An eventfd with ppoll: the runtime's own waits count in milliseconds, too coarse for a guest's timers.
/// </summary>
public sealed unsafe class WakeEvent : IDisposable
{
    private readonly SafeFileDescriptor _fd;
    private int _signalled;

    public WakeEvent()
    {
        int fd = Native.Eventfd(0, Native.EFD_CLOEXEC | Native.EFD_NONBLOCK);
        if (fd < 0)
            throw new InvalidOperationException($"eventfd: {Marshal.GetLastPInvokeErrorMessage()}");
        _fd = new SafeFileDescriptor(fd);
    }

    /// <summary>Ends the present or the next wait. Any thread.</summary>
    public void Wake()
    {
        if (Interlocked.Exchange(ref _signalled, 1) != 0)
            return;
        ulong one = 1;
        using SafeFileDescriptor.Lease lease = _fd.Acquire();
        if (lease.IsValid)
            _ = Native.Write(lease.Descriptor, &one, sizeof(ulong));
    }

    /// <summary>Sleeps until woken or until the time has passed; null: until woken. One thread at a time.</summary>
    public void Wait(ulong? nanoseconds)
    {
        using SafeFileDescriptor.Lease lease = _fd.Acquire();
        if (!lease.IsValid)
            return;
        Native.PollFd poll = new() { Fd = lease.Descriptor, Events = Native.POLLIN };
        Native.Timespec time = default;
        if (nanoseconds is { } ns)
        {
            time.Seconds = (long)(ns / 1_000_000_000);
            time.Nanoseconds = (long)(ns % 1_000_000_000);
        }
        _ = Native.Ppoll(&poll, 1, nanoseconds is null ? null : &time, null);
        if ((poll.Revents & Native.POLLIN) != 0)
        {
            // Cleared after the read: a wake in between is seen by what the thread looks at now, while one that wrote before
            // the read and found the flag clear would leave it set with nothing to poll, and every later wake would be lost.
            ulong count;
            _ = Native.Read(lease.Descriptor, &count, sizeof(ulong));
            Interlocked.Exchange(ref _signalled, 0);
        }
    }

    public void Dispose() => _fd.Dispose();
}
