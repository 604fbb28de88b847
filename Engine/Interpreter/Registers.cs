using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>Registers by their byte offset in <see cref="VcpuContext"/>.</summary>
internal static unsafe class Registers
{
    private static readonly int _gpr, _vector, _x87, _segments;

    static Registers()
    {
        // Differences of addresses, since Marshal.OffsetOf would give the layout for marshalling.
        VcpuContext probe;
        byte* start = (byte*)&probe;
        _gpr = (int)((byte*)probe.State.Gpr - start);
        _vector = (int)(probe.State.Vector - start);
        _x87 = (int)((byte*)probe.State.X87 - start);
        _segments = (int)((byte*)&probe.State.Es - start);
        Zero = (ushort)((byte*)&probe.Zero - start);
    }

    /// <summary>The offset of what is always zero.</summary>
    public static ushort Zero { get; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Get<T>(VcpuContext* c, ushort offset)
        where T : unmanaged => *(T*)((byte*)c + offset);

    /// <summary>Writes a general register: 32-bit writes clear the upper half, narrower ones keep the rest.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set<T>(VcpuContext* c, ushort offset, T value)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
            *(ulong*)((byte*)c + offset) = Unsafe.BitCast<T, uint>(value);
        else
            *(T*)((byte*)c + offset) = value;
    }

    /// <summary>The offset of a register; <see cref="Zero"/> for none and for RIP, whose value operands have absorbed.</summary>
    public static ushort OffsetOf(Register register)
    {
        if (register is >= Register.AL and <= Register.BL)
            return (ushort)(_gpr + 8 * (register - Register.AL));
        if (register is >= Register.AH and <= Register.BH)
            return (ushort)(_gpr + 8 * (register - Register.AH) + 1);
        if (register is >= Register.SPL and <= Register.R15L)
            return (ushort)(_gpr + 8 * (register - Register.SPL + 4));
        if (register is >= Register.AX and <= Register.R15W)
            return (ushort)(_gpr + 8 * (register - Register.AX));
        if (register is >= Register.EAX and <= Register.R15D)
            return (ushort)(_gpr + 8 * (register - Register.EAX));
        if (register is >= Register.RAX and <= Register.R15)
            return (ushort)(_gpr + 8 * (register - Register.RAX));
        if (register is >= Register.XMM0 and <= Register.XMM15)
            return (ushort)(_vector + 32 * (register - Register.XMM0));
        if (register is >= Register.YMM0 and <= Register.YMM15)
            return (ushort)(_vector + 32 * (register - Register.YMM0));
        if (register is >= Register.MM0 and <= Register.MM7)
            return (ushort)(_x87 + 16 * (register - Register.MM0));
        if (register is >= Register.ES and <= Register.GS)
            return SegmentOffset(register);
        return Zero;
    }

    /// <summary>The offset of a segment's base.</summary>
    public static ushort SegmentBase(Register segment) => SegmentOffset(segment);

    /// <summary>The offset of a segment register's record, whose first field is the base.</summary>
    public static ushort SegmentOffset(Register segment) => (ushort)(_segments + sizeof(Segment) * (segment - Register.ES));
}
