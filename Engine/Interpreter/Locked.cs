using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Interpreter;

/// <summary>
/// The memory operand of a locked instruction: host-atomic where it lies in one page of RAM, which is where guests lock.
/// A device, a page-crossing or a watched operand is read and written in two steps.
/// </summary>
internal unsafe ref struct Locked<T>
    where T : unmanaged, IWord<T>
{
    private readonly VcpuContext* _c;
    private readonly ulong _address;
    private T* _host;
    private ulong _code = SoftwareTlb.NoPhysical;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Locked(VcpuContext* c, ulong address)
    {
        _c = c;
        _address = address;
        _host = (T*)GuestAccess.WritePointer(c, address, sizeof(T));
    }

    /// <summary>The store of <see cref="TryReplace"/> met a fault.</summary>
    public bool Faulted { get; private set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Load(out T value)
    {
        if (_host != null)
        {
            value = *_host;
            return true;
        }
        if (!GuestAccess.LoadForWrite(_c, _address, out value))
            return false;
        // The load has asked for the permission to write: if it was given, go on atomically.
        _host = (T*)GuestAccess.WritePointer(_c, _address, sizeof(T));
        if (_host == null)
            _host = (T*)SoftwareTlb.Of(_c).CodePointer(_address, sizeof(T), out _code);
        if (_host != null)
            value = *_host;
        return true;
    }

    /// <summary>Stores where the memory still holds what was loaded; false: load again. True after a fault, too.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryReplace(T expected, T replacement)
    {
        if (_host != null)
        {
            if (CompareExchange(replacement, expected) != expected)
                return false;
            if (_code != SoftwareTlb.NoPhysical)
                Vcpu.Of(_c).Code.Written(new GuestPhysicalAddress(_code), sizeof(T));
            return true;
        }
        Faulted = !GuestAccess.Store(_c, _address, replacement);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly T CompareExchange(T replacement, T expected)
    {
        if (sizeof(T) == 1)
            return Unsafe.BitCast<byte, T>(Interlocked.CompareExchange(ref *(byte*)_host, Unsafe.BitCast<T, byte>(replacement), Unsafe.BitCast<T, byte>(expected)));
        if (sizeof(T) == 2)
            return Unsafe.BitCast<ushort, T>(Interlocked.CompareExchange(ref *(ushort*)_host, Unsafe.BitCast<T, ushort>(replacement), Unsafe.BitCast<T, ushort>(expected)));
        if (sizeof(T) == 4)
            return Unsafe.BitCast<uint, T>(Interlocked.CompareExchange(ref *(uint*)_host, Unsafe.BitCast<T, uint>(replacement), Unsafe.BitCast<T, uint>(expected)));
        return Unsafe.BitCast<ulong, T>(Interlocked.CompareExchange(ref *(ulong*)_host, Unsafe.BitCast<T, ulong>(replacement), Unsafe.BitCast<T, ulong>(expected)));
    }
}
