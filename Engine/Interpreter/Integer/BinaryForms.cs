using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>An operation of two operands, the first of which is also the destination.</summary>
internal unsafe interface IBinaryOperation
{
    /// <summary>False for those that only set flags (CMP, TEST).</summary>
    static abstract bool Stores { get; }

    static abstract T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
        where T : unmanaged, IWord<T>;
}

/// <summary>The operand forms of <see cref="IBinaryOperation"/>.</summary>
internal static class BinaryForms
{
    public static Handler Select<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : IBinaryOperation
    {
        int size = Width.Of(instruction, 0);
        if (Width.IsMemory(instruction, 0))
            return Width.IsRegister(instruction, 1)
                ? Memory<TOperation, RegisterSource>(size, op)
                : Memory<TOperation, ImmediateSource>(size, op);
        if (Width.IsMemory(instruction, 1))
            return Width.Pick<ToRegister<TOperation, MemorySource>>(size);
        return Width.IsRegister(instruction, 1)
            ? Width.Pick<ToRegister<TOperation, RegisterSource>>(size)
            : Width.Pick<ToRegister<TOperation, ImmediateSource>>(size);
    }

    private static Handler Memory<TOperation, TSource>(int size, in Op op)
        where TOperation : IBinaryOperation
        where TSource : ISource =>
        (op.Flags & (byte)OpFlags.Lock) != 0
            ? Width.Pick<LockedMemory<TOperation, TSource>>(size)
            : Width.Pick<ToMemory<TOperation, TSource>>(size);

    private readonly unsafe struct ToRegister<TOperation, TSource> : IByWidth
        where TOperation : IBinaryOperation
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TSource.Read(c, op, out T right))
                return null;
            T result = TOperation.Apply(c, Registers.Get<T>(c, op->Dst), right, out LazyFlags flags);
            flags.Commit(c);
            if (TOperation.Stores)
                Registers.Set(c, op->Dst, result);
            return op + 1;
        }
    }

    private readonly unsafe struct ToMemory<TOperation, TSource> : IByWidth
        where TOperation : IBinaryOperation
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            TSource.Read(c, op, out T right);
            ulong address = GuestAccess.Address(c, op);
            LazyFlags flags;
            if (TOperation.Stores)
            {
                if (!GuestAccess.LoadForWrite(c, address, out T left))
                    return null;
                T result = TOperation.Apply(c, left, right, out flags);
                if (!GuestAccess.Store(c, address, result))
                    return null;
            }
            else
            {
                if (!GuestAccess.Load(c, address, out T left))
                    return null;
                TOperation.Apply(c, left, right, out flags);
            }
            flags.Commit(c);
            return op + 1;
        }
    }

    private readonly unsafe struct LockedMemory<TOperation, TSource> : IByWidth
        where TOperation : IBinaryOperation
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            TSource.Read(c, op, out T right);
            Locked<T> memory = new(c, GuestAccess.Address(c, op));
            LazyFlags flags;
            T left;
            do
            {
                if (!memory.Load(out left))
                    return null;
            }
            while (!memory.TryReplace(left, TOperation.Apply(c, left, right, out flags)));
            if (memory.Faulted)
                return null;
            flags.Commit(c);
            return op + 1;
        }
    }
}
