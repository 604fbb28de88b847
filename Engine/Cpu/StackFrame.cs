using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Godwit.Engine.Cpu;

/// <summary>
/// Values pushed together on a stack by event delivery and far calls: collected first, stored in one write, so that a
/// fault leaves nothing behind.
/// </summary>
internal unsafe ref struct StackFrame(VcpuContext* c, Segment stack, ulong pointer, int width, int privilege, bool stack64 = false)
{
    /// <summary>The most values a frame holds: SS, ESP, 31 parameters, CS, EIP.</summary>
    private const int Capacity = 40;

    private FrameValues _values;
    private int _count;

    /// <summary>The stack pointer after <see cref="Store"/>, only its valid bits changed.</summary>
    public ulong Pointer { get; private set; } = pointer;

    /// <summary>Adds a value below the ones before.</summary>
    public void Push(ulong value) => _values[Capacity - ++_count] = value;

    /// <summary>Writes the frame. A stack that does not hold it is #SS with the error code given.</summary>
    public bool Store(uint errorCode)
    {
        int length = _count * width;
        bool user = privilege == 3;
        Span<byte> bytes = stackalloc byte[length];
        for (int i = 0; i < _count; i++)
        {
            ulong value = _values[Capacity - _count + i];
            Span<byte> slot = bytes.Slice(i * width, width);
            if (width == 8)
                MemoryMarshal.Write(slot, value);
            else if (width == 4)
                MemoryMarshal.Write(slot, (uint)value);
            else
                MemoryMarshal.Write(slot, (ushort)value);
        }
        if (stack64)
        {
            Pointer -= (uint)length;
            return Paging.IsCanonical(Pointer) && Paging.IsCanonical(Pointer + (uint)length - 1)
                ? LinearMemory.Write(c, Pointer, user, bytes)
                : c->Raise(Vector.SS, errorCode);
        }
        ulong mask = (stack.Attributes & Segment.DB) != 0 ? uint.MaxValue : ushort.MaxValue;
        ulong offset = (Pointer - (uint)length) & mask;
        if (!Segments.Fits(stack, (uint)offset, (uint)length))
            return c->Raise(Vector.SS, errorCode);
        Pointer = (Pointer & ~mask) | offset;
        return LinearMemory.Write(c, (uint)(stack.Base + offset), user, bytes);
    }

    [InlineArray(Capacity)]
    private struct FrameValues
    {
        private ulong _first;
    }
}
