using System.Numerics;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>BT, BTS, BTR, BTC and the bit scans. A register offset reaches past the memory operand, in either direction.</summary>
internal static unsafe class BitTest
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Bt, Select<Bt>),
        new(Mnemonic.Bts, Select<Bts>),
        new(Mnemonic.Btr, Select<Btr>),
        new(Mnemonic.Btc, Select<Btc>),
        new(Mnemonic.Bsf, SelectScan<Bsf>),
        new(Mnemonic.Bsr, SelectScan<Bsr>),
        new(Mnemonic.Tzcnt, SelectScan<Tzcnt>),
        new(Mnemonic.Lzcnt, SelectScan<Lzcnt>),
        new(Mnemonic.Popcnt, SelectScan<Popcnt>),
    ];

    private interface IBitOperation
    {
        static abstract bool Stores { get; }

        static abstract T Apply<T>(T value, T bit)
            where T : unmanaged, IWord<T>;
    }

    private interface IScan
    {
        /// <summary>The new destination and flags.</summary>
        static abstract ulong Apply<T>(VcpuContext* c, ulong destination, T value)
            where T : unmanaged, IWord<T>;
    }

    private static Handler Select<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : IBitOperation
    {
        int size = Width.Of(instruction, 0);
        bool register = Width.IsRegister(instruction, 1);
        if (!Width.IsMemory(instruction, 0))
            return register
                ? Width.Pick<InRegister<TOperation, RegisterSource>>(size)
                : Width.Pick<InRegister<TOperation, ImmediateSource>>(size);
        if ((op.Flags & (byte)OpFlags.Lock) != 0)
            return register
                ? Width.Pick<InLockedMemory<TOperation, RegisterSource>>(size)
                : Width.Pick<InLockedMemory<TOperation, ImmediateSource>>(size);
        return register
            ? Width.Pick<InMemory<TOperation, RegisterSource>>(size)
            : Width.Pick<InMemory<TOperation, ImmediateSource>>(size);
    }

    private static Handler SelectScan<TScan>(in Instruction instruction, ref Op op)
        where TScan : IScan
    {
        int size = Width.Of(instruction, 0);
        return Width.IsMemory(instruction, 1)
            ? Width.Pick<Scan<TScan, MemorySource>>(size)
            : Width.Pick<Scan<TScan, RegisterSource>>(size);
    }

    /// <summary>The address of the unit that holds the bit, and its number there. An immediate stays within the operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Address<T, TSource>(VcpuContext* c, Op* op, out int bit)
        where T : unmanaged
        where TSource : ISource
    {
        TSource.Read(c, op, out T raw);
        long offset = (long)LazyFlags.SignExtend(raw);
        bit = (int)offset & (sizeof(T) * 8 - 1);
        if (typeof(TSource) == typeof(ImmediateSource))
            return GuestAccess.Address(c, op);
        return GuestAccess.Address(c, op, (ulong)((offset >> BitOperations.Log2((uint)sizeof(T) * 8)) * sizeof(T)));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetCarry<T>(VcpuContext* c, T value, int bit)
        where T : unmanaged, IWord<T>
    {
        // The other flags are undefined except ZF, which stays; they all stay, OF included.
        uint carry = (uint)(ShiftForms.Extend(value) >> bit) & 1;
        uint change = (c->FlagAux >> 31) ^ carry;
        c->FlagAux ^= change << 31 | change << 30;
    }

    private readonly struct InRegister<TOperation, TSource> : IByWidth
        where TOperation : IBitOperation
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            TSource.Read(c, op, out Word8 raw);
            int bit = raw.Value & (sizeof(T) * 8 - 1);
            T value = Registers.Get<T>(c, op->Dst);
            SetCarry(c, value, bit);
            if (TOperation.Stores)
                Registers.Set(c, op->Dst, TOperation.Apply(value, T.One << bit));
            return op + 1;
        }
    }

    private readonly struct InMemory<TOperation, TSource> : IByWidth
        where TOperation : IBitOperation
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            ulong address = Address<T, TSource>(c, op, out int bit);
            T value;
            if (TOperation.Stores)
            {
                if (!GuestAccess.LoadForWrite(c, address, out value) || !GuestAccess.Store(c, address, TOperation.Apply(value, T.One << bit)))
                    return null;
            }
            else if (!GuestAccess.Load(c, address, out value))
                return null;
            SetCarry(c, value, bit);
            return op + 1;
        }
    }

    private readonly struct InLockedMemory<TOperation, TSource> : IByWidth
        where TOperation : IBitOperation
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            Locked<T> memory = new(c, Address<T, TSource>(c, op, out int bit));
            T value;
            do
            {
                if (!memory.Load(out value))
                    return null;
            }
            while (!memory.TryReplace(value, TOperation.Apply(value, T.One << bit)));
            if (memory.Faulted)
                return null;
            SetCarry(c, value, bit);
            return op + 1;
        }
    }

    private readonly struct Scan<TScan, TSource> : IByWidth
        where TScan : IScan
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TSource.Read(c, op, out T value))
                return null;
            ulong result = TScan.Apply(c, Registers.Get<Word64>(c, op->Dst).Value, value);
            if (sizeof(T) == 2)
                Registers.Set(c, op->Dst, new Word16((ushort)result));
            else
                Registers.Set(c, op->Dst, new Word64(result));
            return op + 1;
        }
    }

    private readonly struct Bt : IBitOperation
    {
        public static bool Stores => false;

        public static T Apply<T>(T value, T bit)
            where T : unmanaged, IWord<T> => value;
    }

    private readonly struct Bts : IBitOperation
    {
        public static bool Stores => true;

        public static T Apply<T>(T value, T bit)
            where T : unmanaged, IWord<T> => value | bit;
    }

    private readonly struct Btr : IBitOperation
    {
        public static bool Stores => true;

        public static T Apply<T>(T value, T bit)
            where T : unmanaged, IWord<T> => value & ~bit;
    }

    private readonly struct Btc : IBitOperation
    {
        public static bool Stores => true;

        public static T Apply<T>(T value, T bit)
            where T : unmanaged, IWord<T> => value ^ bit;
    }

    /// <summary>A zero source leaves the destination as it was (AMD APM 3, BSF).</summary>
    private readonly struct Bsf : IScan
    {
        public static ulong Apply<T>(VcpuContext* c, ulong destination, T value)
            where T : unmanaged, IWord<T>
        {
            ulong bits = ShiftForms.Extend(value);
            LazyFlags.Logical(value).Commit(c);
            return bits == 0 ? destination : (ulong)BitOperations.TrailingZeroCount(bits);
        }
    }

    private readonly struct Bsr : IScan
    {
        public static ulong Apply<T>(VcpuContext* c, ulong destination, T value)
            where T : unmanaged, IWord<T>
        {
            ulong bits = ShiftForms.Extend(value);
            LazyFlags.Logical(value).Commit(c);
            return bits == 0 ? destination : (ulong)BitOperations.Log2(bits);
        }
    }

    private readonly struct Tzcnt : IScan
    {
        public static ulong Apply<T>(VcpuContext* c, ulong destination, T value)
            where T : unmanaged, IWord<T>
        {
            ulong bits = ShiftForms.Extend(value);
            ulong result = bits == 0 ? (ulong)sizeof(T) * 8 : (ulong)BitOperations.TrailingZeroCount(bits);
            LazyFlags.With(new Word64(result), bits == 0 ? 1ul : 0, 0).Commit(c);
            return result;
        }
    }

    private readonly struct Lzcnt : IScan
    {
        public static ulong Apply<T>(VcpuContext* c, ulong destination, T value)
            where T : unmanaged, IWord<T>
        {
            ulong bits = ShiftForms.Extend(value);
            ulong result = (ulong)(BitOperations.LeadingZeroCount(bits) - (64 - sizeof(T) * 8));
            LazyFlags.With(new Word64(result), bits == 0 ? 1ul : 0, 0).Commit(c);
            return result;
        }
    }

    private readonly struct Popcnt : IScan
    {
        public static ulong Apply<T>(VcpuContext* c, ulong destination, T value)
            where T : unmanaged, IWord<T>
        {
            ulong bits = ShiftForms.Extend(value);
            ulong result = (ulong)BitOperations.PopCount(bits);
            // Only ZF may be set (SDM 2B, POPCNT): a result of 1 with its parity inverted stands for not zero.
            c->FlagResult = bits == 0 ? 0ul : 1ul;
            c->FlagAux = bits == 0 ? 1u << 8 : 0;
            return result;
        }
    }
}
