using System.Buffers.Binary;
using Godwit.Engine.Devices;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt;

/// <summary>
/// kvmclock's structures in guest memory (Linux arch/x86/include/asm/pvclock-abi.h). A version is odd while its
/// structure changes, so that a reader on another vCPU never takes a half-written one.
/// </summary>
internal sealed class PvclockPage(GuestMemory memory, IGuestClock clock, Func<ulong>? tscAdjust)
{
    /// <summary>Bytes of pvclock_vcpu_time_info.</summary>
    public const int TimeBytes = 32;

    /// <summary>Bytes of pvclock_wall_clock.</summary>
    public const int WallBytes = 12;

    /// <summary>PVCLOCK_TSC_STABLE_BIT: readings on different vCPUs may be compared.</summary>
    public const byte StableFlag = 1 << 0;

    /// <summary>PVCLOCK_GUEST_STOPPED: set by the host, cleared by the guest once it has seen it.</summary>
    public const byte StoppedFlag = 1 << 1;

    private const int FlagsOffset = 29;
    private const ulong NanosecondsPerSecond = 1_000_000_000;

    private readonly TscScale _scale = TscScale.For(clock.TscHz);

    /// <summary>Anchors the guest's clock at this moment. Nothing happens where the structure is not all RAM.</summary>
    public void WriteSystemTime(GuestPhysicalAddress address, bool stopped)
    {
        Span<byte> time = stackalloc byte[TimeBytes];
        if (!memory.TryRead(address, time))
            return;
        uint version = BeginUpdate(address, time);

        // Time is derived from the one TSC reading: two readings of the clock would differ, and a guest that was given
        // a later time for an earlier TSC would see its clock step back at the next anchor.
        ulong tsc = clock.Tsc;
        byte unseen = (byte)(time[FlagsOffset] & StoppedFlag);
        BinaryPrimitives.WriteUInt32LittleEndian(time[4..], 0);
        BinaryPrimitives.WriteUInt64LittleEndian(time[8..], unchecked(tsc + (tscAdjust?.Invoke() ?? 0)));
        BinaryPrimitives.WriteUInt64LittleEndian(time[16..], (ulong)((UInt128)tsc * NanosecondsPerSecond / clock.TscHz));
        BinaryPrimitives.WriteUInt32LittleEndian(time[24..], _scale.Multiplier);
        time[28] = (byte)_scale.Shift;
        time[FlagsOffset] = (byte)(StableFlag | unseen | (stopped ? StoppedFlag : 0));
        time[30] = time[31] = 0;
        EndUpdate(address, time, version);
    }

    /// <summary>Writes the wall-clock time at which system time was zero.</summary>
    public void WriteWallClock(GuestPhysicalAddress address)
    {
        Span<byte> wall = stackalloc byte[WallBytes];
        if (!memory.TryRead(address, wall))
            return;
        uint version = BeginUpdate(address, wall);
        ulong boot = clock.WallNanoseconds - clock.Nanoseconds;
        BinaryPrimitives.WriteUInt32LittleEndian(wall[4..], (uint)(boot / NanosecondsPerSecond));
        BinaryPrimitives.WriteUInt32LittleEndian(wall[8..], (uint)(boot % NanosecondsPerSecond));
        EndUpdate(address, wall, version);
    }

    private uint BeginUpdate(GuestPhysicalAddress address, Span<byte> structure)
    {
        uint version = BinaryPrimitives.ReadUInt32LittleEndian(structure) | 1;
        WriteVersion(address, version);
        return version;
    }

    private void EndUpdate(GuestPhysicalAddress address, Span<byte> structure, uint oddVersion)
    {
        memory.TryWrite(address + sizeof(uint), structure[sizeof(uint)..]);
        WriteVersion(address, oddVersion + 1);
    }

    private void WriteVersion(GuestPhysicalAddress address, uint version)
    {
        Span<byte> word = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(word, version);
        Interlocked.MemoryBarrier();
        memory.TryWrite(address, word);
        Interlocked.MemoryBarrier();
    }
}

/// <summary>TSC ticks to nanoseconds as pvclock has it: (ticks shifted left by Shift, right where negative) * Multiplier / 2^32.</summary>
internal readonly record struct TscScale(uint Multiplier, sbyte Shift)
{
    /// <summary>
    /// The finest scale for a frequency. The multiplier is rounded down, so that a guest's reading falls behind true time
    /// by at most 2^-31 of what has passed, and a new anchor moves it forward and never back.
    /// </summary>
    public static TscScale For(ulong tscHz)
    {
        ArgumentOutOfRangeException.ThrowIfZero(tscHz);
        UInt128 multiplier = ((UInt128)1_000_000_000 << 64) / tscHz; // nanoseconds a tick, times 2^64
        int shift = -32; // the interface takes 2^32 out of the product by itself
        while (multiplier >> 32 != 0)
        {
            multiplier >>= 1;
            shift++;
        }
        return new TscScale((uint)multiplier, checked((sbyte)shift));
    }

    /// <summary>The nanoseconds that a guest computes for a number of ticks.</summary>
    public ulong Nanoseconds(ulong ticks) =>
        (ulong)((UInt128)(Shift < 0 ? ticks >> -Shift : ticks << Shift) * Multiplier >> 32);
}
