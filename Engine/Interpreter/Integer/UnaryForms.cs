using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>An operation of one operand that is also the destination.</summary>
internal unsafe interface IUnaryOperation
{
    /// <summary>NOT sets no flags.</summary>
    static abstract bool SetsFlags { get; }

    static abstract T Apply<T>(VcpuContext* c, T value, out LazyFlags flags)
        where T : unmanaged, IWord<T>;
}

/// <summary>The operand forms of <see cref="IUnaryOperation"/>.</summary>
internal static class UnaryForms
{
    public static Handler Select<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : IUnaryOperation
    {
        int size = Width.Of(instruction, 0);
        if (!Width.IsMemory(instruction, 0))
            return Width.Pick<OnRegister<TOperation>>(size);
        return (op.Flags & (byte)OpFlags.Lock) != 0
            ? Width.Pick<OnLockedMemory<TOperation>>(size)
            : Width.Pick<OnMemory<TOperation>>(size);
    }

    private readonly unsafe struct OnRegister<TOperation> : IByWidth
        where TOperation : IUnaryOperation
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            T result = TOperation.Apply(c, Registers.Get<T>(c, op->Dst), out LazyFlags flags);
            if (TOperation.SetsFlags)
                flags.Commit(c);
            Registers.Set(c, op->Dst, result);
            return op + 1;
        }
    }

    private readonly unsafe struct OnMemory<TOperation> : IByWidth
        where TOperation : IUnaryOperation
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            ulong address = GuestAccess.Address(c, op);
            if (!GuestAccess.LoadForWrite(c, address, out T value))
                return null;
            if (!GuestAccess.Store(c, address, TOperation.Apply(c, value, out LazyFlags flags)))
                return null;
            if (TOperation.SetsFlags)
                flags.Commit(c);
            return op + 1;
        }
    }

    private readonly unsafe struct OnLockedMemory<TOperation> : IByWidth
        where TOperation : IUnaryOperation
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            Locked<T> memory = new(c, GuestAccess.Address(c, op));
            LazyFlags flags;
            T value;
            do
            {
                if (!memory.Load(out value))
                    return null;
            }
            while (!memory.TryReplace(value, TOperation.Apply(c, value, out flags)));
            if (memory.Faulted)
                return null;
            if (TOperation.SetsFlags)
                flags.Commit(c);
            return op + 1;
        }
    }
}
