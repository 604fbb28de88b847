namespace Godwit.Engine.Devices;

/// <summary>A device behind a range of I/O ports. Offsets count from the range's first port; sizes are 1, 2 or 4 bytes.</summary>
public interface IPortDevice
{
    uint ReadPort(int offset, int size);

    void WritePort(int offset, int size, uint value);
}

/// <summary>A device behind a range of guest physical addresses. Offsets count from the range's start; sizes are 1, 2, 4 or 8 bytes.</summary>
public interface IMmioDevice
{
    ulong ReadMmio(ulong offset, int size);

    void WriteMmio(ulong offset, int size, ulong value);
}

/// <summary>A device's interrupt output. Edge-triggered inputs act on the change from false to true.</summary>
public interface IInterruptLine
{
    void Set(bool level);
}

/// <summary>The machine's time. It starts at 0 when the machine is made, never goes back, and stands still while the machine is paused.</summary>
public interface IGuestClock
{
    /// <summary>Guest time in nanoseconds.</summary>
    ulong Nanoseconds { get; }

    /// <summary>The time-stamp counter that goes with it.</summary>
    ulong Tsc { get; }

    /// <summary>TSC ticks a second; fixed for the machine's life.</summary>
    ulong TscHz { get; }

    /// <summary>Wall-clock time in nanoseconds since the Unix epoch. Under icount it is derived from guest time alone.</summary>
    ulong WallNanoseconds { get; }
}

/// <summary>Makes one-shot timers in guest time. Callbacks run on a vCPU thread between instructions, under the machine lock.</summary>
public interface ITimerQueue
{
    IDeviceTimer Create(Action callback);
}

/// <summary>A one-shot timer: armed for an absolute guest time, or idle.</summary>
public interface IDeviceTimer
{
    /// <summary>The absolute guest time in nanoseconds at which the callback runs; null when idle.</summary>
    ulong? Deadline { get; }

    /// <summary>Arms the timer, replacing an earlier deadline. A deadline already past fires at the next opportunity.</summary>
    void Arm(ulong deadlineNanoseconds);

    void Cancel();
}

/// <summary>Saved state of one device: a MessagePack record with integer keys, architectural only. Load validates and throws <see cref="InvalidStateException"/>.</summary>
public interface ISavedState<TState>
{
    TState SaveState();

    void LoadState(TState state);
}

/// <summary>A saved state that cannot have come from such a machine; the message says which value is wrong.</summary>
public sealed class InvalidStateException(string message, Exception? inner = null) : Exception(message, inner);
