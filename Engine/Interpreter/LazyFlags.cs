using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter;

/// <summary>The status flags of one instruction in the lazy form of <see cref="VcpuContext"/>, not yet committed.</summary>
internal readonly struct LazyFlags(ulong result, uint aux)
{
    public ulong Result { get; } = result;

    public uint Aux { get; } = aux;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public unsafe void Commit(VcpuContext* c)
    {
        c->FlagResult = Result;
        c->FlagAux = Aux;
    }

    /// <summary>Flags of a result whose carries out of each bit (borrows, for a subtraction) are given.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LazyFlags Of<T>(T result, T carries)
        where T : unmanaged => new(SignExtend(result), AuxOf(carries));

    /// <summary>Flags of a logical result: CF, OF and AF clear.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LazyFlags Logical<T>(T result)
        where T : unmanaged => new(SignExtend(result), 0);

    /// <summary>Flags of a result with CF and OF given, AF clear.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LazyFlags With<T>(T result, ulong carry, ulong overflow)
        where T : unmanaged => new(SignExtend(result), CarryOverflow(carry, overflow));

    /// <summary>The flags as they stand, with CF and OF (0 or 1) replaced.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe LazyFlags Replace(VcpuContext* c, ulong carry, ulong overflow) =>
        new(c->FlagResult, (c->FlagAux & ~(VcpuContext.AuxCarry | VcpuContext.AuxPartialOverflow)) | CarryOverflow(carry, overflow));

    /// <summary>CF as 0 or 1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe uint Carry(VcpuContext* c) => c->FlagAux >> 31;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong SignExtend<T>(T value)
        where T : unmanaged
    {
        if (Unsafe.SizeOf<T>() == 1)
            return (ulong)(sbyte)Unsafe.BitCast<T, byte>(value);
        if (Unsafe.SizeOf<T>() == 2)
            return (ulong)(short)Unsafe.BitCast<T, ushort>(value);
        if (Unsafe.SizeOf<T>() == 4)
            return (ulong)(int)Unsafe.BitCast<T, uint>(value);
        return Unsafe.BitCast<T, ulong>(value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint CarryOverflow(ulong carry, ulong overflow) => (uint)carry << 31 | (uint)(carry ^ overflow) << 30;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint AuxOf<T>(T carries)
        where T : unmanaged
    {
        const uint Top = VcpuContext.AuxCarry | VcpuContext.AuxPartialOverflow;
        if (Unsafe.SizeOf<T>() == 1)
        {
            uint narrow = Unsafe.BitCast<T, byte>(carries);
            return (narrow << 24 & Top) | (narrow & VcpuContext.AuxAdjust);
        }
        if (Unsafe.SizeOf<T>() == 2)
        {
            uint word = Unsafe.BitCast<T, ushort>(carries);
            return (word << 16 & Top) | (word & VcpuContext.AuxAdjust);
        }
        if (Unsafe.SizeOf<T>() == 4)
            return Unsafe.BitCast<T, uint>(carries) & (Top | VcpuContext.AuxAdjust);
        ulong wide = Unsafe.BitCast<T, ulong>(carries);
        return ((uint)(wide >> 32) & Top) | ((uint)wide & VcpuContext.AuxAdjust);
    }
}
