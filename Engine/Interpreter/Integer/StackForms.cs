using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>The stack pointer as a mode has it: RSP without a segment, ESP or SP in SS.</summary>
internal unsafe interface IStackPointer
{
    static abstract ulong Get(VcpuContext* c);

    static abstract void Set(VcpuContext* c, ulong value);

    /// <summary>The linear address of an offset in the stack segment.</summary>
    static abstract ulong Address(VcpuContext* c, ulong offset);
}

internal readonly unsafe struct Stack64 : IStackPointer
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(VcpuContext* c) => c->State.Gpr[Gpr.RSP];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(VcpuContext* c, ulong value) => c->State.Gpr[Gpr.RSP] = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Address(VcpuContext* c, ulong offset) => offset;
}

internal readonly unsafe struct Stack32 : IStackPointer
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(VcpuContext* c) => (uint)c->State.Gpr[Gpr.RSP];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(VcpuContext* c, ulong value) => c->State.Gpr[Gpr.RSP] = (uint)value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Address(VcpuContext* c, ulong offset) => (uint)offset + c->State.Ss.Base;
}

internal readonly unsafe struct Stack16 : IStackPointer
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Get(VcpuContext* c) => (ushort)c->State.Gpr[Gpr.RSP];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Set(VcpuContext* c, ulong value) => *(ushort*)&c->State.Gpr[Gpr.RSP] = (ushort)value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Address(VcpuContext* c, ulong offset) => (ushort)offset + c->State.Ss.Base;
}

/// <summary>Code that exists for each operand width and each kind of stack pointer.</summary>
internal interface IByStack
{
    static abstract Handler For<T, TStack>()
        where T : unmanaged, IWord<T>
        where TStack : IStackPointer;
}

/// <summary>Pushes and pops, and the choice of code by operand size and stack.</summary>
internal static unsafe class StackForms
{
    /// <summary>Operands of 8 bytes exist in 64-bit mode only, of 4 bytes outside of it only; 2 bytes everywhere.</summary>
    public static Handler Pick<TFamily>(int bytes, in Op op)
        where TFamily : IByStack
    {
        bool wide = (op.Mode & CodeMode.SizeMask) == CodeMode.Code64, narrow = (op.Mode & CodeMode.Stack32) == 0;
        return bytes switch
        {
            8 when wide => TFamily.For<Word64, Stack64>(),
            4 when !wide => narrow ? TFamily.For<Word32, Stack16>() : TFamily.For<Word32, Stack32>(),
            2 when wide => TFamily.For<Word16, Stack64>(),
            2 => narrow ? TFamily.For<Word16, Stack16>() : TFamily.For<Word16, Stack32>(),
            _ => default,
        };
    }

    /// <summary>Pushes a value; on a fault the stack pointer stands.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Push<T, TStack>(VcpuContext* c, T value)
        where T : unmanaged
        where TStack : IStackPointer
    {
        ulong sp = TStack.Get(c) - (ulong)sizeof(T);
        if (!GuestAccess.Store(c, TStack.Address(c, sp), value))
            return false;
        TStack.Set(c, sp);
        return true;
    }

    /// <summary>Pops a value; on a fault the stack pointer stands.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Pop<T, TStack>(VcpuContext* c, out T value)
        where T : unmanaged
        where TStack : IStackPointer
    {
        ulong sp = TStack.Get(c);
        if (!GuestAccess.Load(c, TStack.Address(c, sp), out value))
            return false;
        TStack.Set(c, sp + (ulong)sizeof(T));
        return true;
    }
}
