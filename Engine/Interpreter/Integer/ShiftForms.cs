using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>A shift or rotation. The value is zero-extended; the count is masked and not 0; bits above the width are ignored.</summary>
internal unsafe interface IShiftOperation
{
    static abstract ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
        where T : unmanaged;
}

/// <summary>SHLD and SHRD.</summary>
internal interface IDoubleShiftOperation
{
    static abstract ulong Apply<T>(ulong value, ulong fill, int count, out LazyFlags flags)
        where T : unmanaged;
}

/// <summary>The operand forms of shifts.</summary>
internal static unsafe class ShiftForms
{
    public static Handler Select<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : IShiftOperation
    {
        int size = Width.Of(instruction, 0);
        if (Width.IsMemory(instruction, 0))
            return Width.IsRegister(instruction, 1)
                ? Width.Pick<OnMemory<TOperation, RegisterSource>>(size)
                : Width.Pick<OnMemory<TOperation, ImmediateSource>>(size);
        return Width.IsRegister(instruction, 1)
            ? Width.Pick<OnRegister<TOperation, RegisterSource>>(size)
            : Width.Pick<OnRegister<TOperation, ImmediateSource>>(size);
    }

    public static Handler SelectDouble<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : IDoubleShiftOperation
    {
        int size = Width.Of(instruction, 0);
        // The count: CL, or an immediate where the third register is none.
        op.Extra = Width.IsRegister(instruction, 2) ? 1u : 0;
        return Width.IsMemory(instruction, 0)
            ? Width.Pick<DoubleOnMemory<TOperation>>(size)
            : Width.Pick<DoubleOnRegister<TOperation>>(size);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LazyFlags Flags<T>(ulong result, ulong carry, ulong overflow)
        where T : unmanaged => LazyFlags.With(*(T*)&result, carry, overflow);

    /// <summary>Whether the two highest bits of a result differ.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong TopTwoDiffer<T>(ulong result)
        where T : unmanaged => (result ^ (result << 1)) >> (sizeof(T) * 8 - 1) & 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Extend<T>(T value)
        where T : unmanaged
    {
        if (sizeof(T) == 1)
            return Unsafe.BitCast<T, byte>(value);
        if (sizeof(T) == 2)
            return Unsafe.BitCast<T, ushort>(value);
        if (sizeof(T) == 4)
            return Unsafe.BitCast<T, uint>(value);
        return Unsafe.BitCast<T, ulong>(value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Mask<T>(int count)
        where T : unmanaged => count & (sizeof(T) == 8 ? 63 : 31);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int DoubleCount<T>(VcpuContext* c, Op* op)
        where T : unmanaged => Mask<T>(op->Extra != 0 ? Registers.Get<Word8>(c, op->Third).Value : (byte)op->Immediate);

    private readonly struct OnRegister<TOperation, TCount> : IByWidth
        where TOperation : IShiftOperation
        where TCount : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            TCount.Read(c, op, out Word8 raw);
            int count = Mask<T>(raw.Value);
            T value = Registers.Get<T>(c, op->Dst);
            if (count != 0)
            {
                ulong result = TOperation.Apply<T>(c, Extend(value), count, out LazyFlags flags);
                flags.Commit(c);
                value = *(T*)&result;
            }
            Registers.Set(c, op->Dst, value);
            return op + 1;
        }
    }

    private readonly struct OnMemory<TOperation, TCount> : IByWidth
        where TOperation : IShiftOperation
        where TCount : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            TCount.Read(c, op, out Word8 raw);
            int count = Mask<T>(raw.Value);
            ulong address = GuestAccess.Address(c, op);
            if (!GuestAccess.LoadForWrite(c, address, out T value))
                return null;
            if (count == 0)
                return op + 1;
            ulong result = TOperation.Apply<T>(c, Extend(value), count, out LazyFlags flags);
            if (!GuestAccess.Store(c, address, *(T*)&result))
                return null;
            flags.Commit(c);
            return op + 1;
        }
    }

    private readonly struct DoubleOnRegister<TOperation> : IByWidth
        where TOperation : IDoubleShiftOperation
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            int count = DoubleCount<T>(c, op);
            T value = Registers.Get<T>(c, op->Dst);
            if (count != 0)
            {
                ulong result = TOperation.Apply<T>(Extend(value), Extend(Registers.Get<T>(c, op->Src)), count, out LazyFlags flags);
                flags.Commit(c);
                value = *(T*)&result;
            }
            Registers.Set(c, op->Dst, value);
            return op + 1;
        }
    }

    private readonly struct DoubleOnMemory<TOperation> : IByWidth
        where TOperation : IDoubleShiftOperation
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            int count = DoubleCount<T>(c, op);
            ulong address = GuestAccess.Address(c, op);
            if (!GuestAccess.LoadForWrite(c, address, out T value))
                return null;
            if (count == 0)
                return op + 1;
            ulong result = TOperation.Apply<T>(Extend(value), Extend(Registers.Get<T>(c, op->Src)), count, out LazyFlags flags);
            if (!GuestAccess.Store(c, address, *(T*)&result))
                return null;
            flags.Commit(c);
            return op + 1;
        }
    }
}
