using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B. With memory they are done as if locked, with the prefix or without.</summary>
internal static unsafe class Exchange
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Xchg, SelectXchg),
        new(Mnemonic.Xadd, SelectXadd),
        new(Mnemonic.Cmpxchg, SelectCompare),
        new(Mnemonic.Cmpxchg8b, (in Instruction instruction, ref Op op) => new Handler(&Compare8)),
        new(Mnemonic.Cmpxchg16b, (in Instruction instruction, ref Op op) => new Handler(&Compare16)),
    ];

    private static Handler SelectXchg(in Instruction instruction, ref Op op)
    {
        int size = Width.Of(instruction, 0);
        if (Width.IsMemory(instruction, 0))
            return Width.Pick<XchgMemory>(size);
        if (!Width.IsMemory(instruction, 1))
            return Width.Pick<XchgRegisters>(size);
        op.Src = op.Dst;
        return Width.Pick<XchgMemory>(size);
    }

    private static Handler SelectXadd(in Instruction instruction, ref Op op) => Width.IsMemory(instruction, 0)
        ? Width.Pick<XaddMemory>(Width.Of(instruction, 0))
        : Width.Pick<XaddRegisters>(Width.Of(instruction, 0));

    private static Handler SelectCompare(in Instruction instruction, ref Op op) => Width.IsMemory(instruction, 0)
        ? Width.Pick<CompareMemory>(Width.Of(instruction, 0))
        : Width.Pick<CompareRegisters>(Width.Of(instruction, 0));

    private readonly struct XchgRegisters : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            T first = Registers.Get<T>(c, op->Dst), second = Registers.Get<T>(c, op->Src);
            Registers.Set(c, op->Dst, second);
            Registers.Set(c, op->Src, first);
            return op + 1;
        }
    }

    private readonly struct XchgMemory : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            Locked<T> memory = new(c, GuestAccess.Address(c, op));
            T old;
            do
            {
                if (!memory.Load(out old))
                    return null;
            }
            while (!memory.TryReplace(old, Registers.Get<T>(c, op->Src)));
            if (memory.Faulted)
                return null;
            Registers.Set(c, op->Src, old);
            return op + 1;
        }
    }

    private readonly struct XaddRegisters : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            T left = Registers.Get<T>(c, op->Dst), right = Registers.Get<T>(c, op->Src);
            T sum = Arithmetic.Add.Apply(c, left, right, out LazyFlags flags);
            flags.Commit(c);
            // The sum goes last: with one register for both it stays.
            Registers.Set(c, op->Src, left);
            Registers.Set(c, op->Dst, sum);
            return op + 1;
        }
    }

    private readonly struct XaddMemory : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            Locked<T> memory = new(c, GuestAccess.Address(c, op));
            T right = Registers.Get<T>(c, op->Src);
            LazyFlags flags;
            T left;
            do
            {
                if (!memory.Load(out left))
                    return null;
            }
            while (!memory.TryReplace(left, Arithmetic.Add.Apply(c, left, right, out flags)));
            if (memory.Faulted)
                return null;
            flags.Commit(c);
            Registers.Set(c, op->Src, left);
            return op + 1;
        }
    }

    private readonly struct CompareRegisters : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            ulong rax = c->State.Gpr[Gpr.RAX];
            T accumulator = *(T*)&rax, old = Registers.Get<T>(c, op->Dst);
            Arithmetic.Sub.Apply(c, accumulator, old, out LazyFlags flags);
            flags.Commit(c);
            if (accumulator == old)
                Registers.Set(c, op->Dst, Registers.Get<T>(c, op->Src));
            else
                // The destination stays, its upper half included.
                SetAccumulator(c, old);
            return op + 1;
        }
    }

    private readonly struct CompareMemory : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            Locked<T> memory = new(c, GuestAccess.Address(c, op));
            ulong rax = c->State.Gpr[Gpr.RAX];
            T accumulator = *(T*)&rax, old;
            do
            {
                if (!memory.Load(out old))
                    return null;
            }
            while (!memory.TryReplace(old, old == accumulator ? Registers.Get<T>(c, op->Src) : old));
            if (memory.Faulted)
                return null;
            Arithmetic.Sub.Apply(c, accumulator, old, out LazyFlags flags);
            flags.Commit(c);
            if (accumulator != old)
                SetAccumulator(c, old);
            return op + 1;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetAccumulator<T>(VcpuContext* c, T value)
        where T : unmanaged
    {
        if (sizeof(T) == 4)
            c->State.Gpr[Gpr.RAX] = ShiftForms.Extend(value);
        else
            *(T*)&c->State.Gpr[Gpr.RAX] = value;
    }

    private static Op* Compare8(VcpuContext* c, Op* op)
    {
        Locked<Word64> memory = new(c, GuestAccess.Address(c, op));
        Word64 expected = new(c->State.Gpr[Gpr.RDX] << 32 | (uint)c->State.Gpr[Gpr.RAX]);
        Word64 replacement = new(c->State.Gpr[Gpr.RCX] << 32 | (uint)c->State.Gpr[Gpr.RBX]);
        Word64 old;
        do
        {
            if (!memory.Load(out old))
                return null;
        }
        while (!memory.TryReplace(old, old == expected ? replacement : old));
        if (memory.Faulted)
            return null;
        if (old != expected)
        {
            c->State.Gpr[Gpr.RAX] = (uint)old.Value;
            c->State.Gpr[Gpr.RDX] = old.Value >> 32;
        }
        SetZero(c, old == expected);
        return op + 1;
    }

    private static Op* Compare16(VcpuContext* c, Op* op)
    {
        ulong address = GuestAccess.Address(c, op);
        if ((address & 15) != 0)
        {
            c->Raise(Cpu.Vector.GP, 0);
            return null;
        }
        UInt128 expected = new(c->State.Gpr[Gpr.RDX], c->State.Gpr[Gpr.RAX]);
        UInt128 replacement = new(c->State.Gpr[Gpr.RCX], c->State.Gpr[Gpr.RBX]);
        if (!GuestAccess.LoadForWrite(c, address, out UInt128 old) || !GuestAccess.Store(c, address, old == expected ? replacement : old))
            return null;
        if (old != expected)
        {
            c->State.Gpr[Gpr.RAX] = (ulong)old;
            c->State.Gpr[Gpr.RDX] = (ulong)(old >> 64);
        }
        SetZero(c, old == expected);
        return op + 1;
    }

    /// <summary>Only ZF changes.</summary>
    private static void SetZero(VcpuContext* c, bool zero) =>
        c->SetArithmetic((c->GetRflags() & ~Rflags.ZF) | (zero ? Rflags.ZF : 0));
}
