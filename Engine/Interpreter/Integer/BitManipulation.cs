using System.Numerics;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>BMI1 and BMI2 (beside TZCNT), ADX, and CRC32 of SSE4.2.</summary>
internal static unsafe class BitManipulation
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Andn, SelectFirst<Andn>),
        new(Mnemonic.Pdep, SelectFirst<Pdep>),
        new(Mnemonic.Pext, SelectFirst<Pext>),
        new(Mnemonic.Bextr, SelectSecond<Bextr>),
        new(Mnemonic.Bzhi, SelectSecond<Bzhi>),
        new(Mnemonic.Sarx, SelectSecond<Sarx>),
        new(Mnemonic.Shlx, SelectSecond<Shlx>),
        new(Mnemonic.Shrx, SelectSecond<Shrx>),
        new(Mnemonic.Rorx, SelectRorx),
        new(Mnemonic.Blsi, SelectUnary<Blsi>),
        new(Mnemonic.Blsmsk, SelectUnary<Blsmsk>),
        new(Mnemonic.Blsr, SelectUnary<Blsr>),
        new(Mnemonic.Mulx, SelectMulx),
        new(Mnemonic.Adcx, SelectAdd<CarryFlag>),
        new(Mnemonic.Adox, SelectAdd<OverflowFlag>),
        new(Mnemonic.Crc32, SelectCrc32),
    ];

    /// <summary>An operation of two sources; it commits its own flags, if any.</summary>
    private interface ITwoSources
    {
        static abstract T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>;
    }

    /// <summary>The register <see cref="Op.Third"/>.</summary>
    private readonly struct ThirdRegister : ISource
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Read<T>(VcpuContext* c, Op* op, out T value)
            where T : unmanaged
        {
            value = Registers.Get<T>(c, op->Third);
            return true;
        }
    }

    /// <summary>No source: the unary forms' first.</summary>
    private readonly struct Nothing : ISource
    {
        public static bool Read<T>(VcpuContext* c, Op* op, out T value)
            where T : unmanaged
        {
            value = default;
            return true;
        }
    }

    private static Handler SelectFirst<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : ITwoSources => Width.IsMemory(instruction, 2)
            ? Width.Pick<TwoSources<TOperation, RegisterSource, MemorySource>>(Width.Of(instruction, 0))
            : Width.Pick<TwoSources<TOperation, RegisterSource, ThirdRegister>>(Width.Of(instruction, 0));

    private static Handler SelectSecond<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : ITwoSources => Width.IsMemory(instruction, 1)
            ? Width.Pick<TwoSources<TOperation, MemorySource, ThirdRegister>>(Width.Of(instruction, 0))
            : Width.Pick<TwoSources<TOperation, RegisterSource, ThirdRegister>>(Width.Of(instruction, 0));

    private static Handler SelectRorx(in Instruction instruction, ref Op op) => Width.IsMemory(instruction, 1)
        ? Width.Pick<TwoSources<Rorx, MemorySource, ImmediateSource>>(Width.Of(instruction, 0))
        : Width.Pick<TwoSources<Rorx, RegisterSource, ImmediateSource>>(Width.Of(instruction, 0));

    private static Handler SelectUnary<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : ITwoSources => Width.IsMemory(instruction, 1)
            ? Width.Pick<TwoSources<TOperation, Nothing, MemorySource>>(Width.Of(instruction, 0))
            : Width.Pick<TwoSources<TOperation, Nothing, RegisterSource>>(Width.Of(instruction, 0));

    private static Handler SelectMulx(in Instruction instruction, ref Op op) => Width.IsMemory(instruction, 2)
        ? Width.Pick<Mulx<MemorySource>>(Width.Of(instruction, 0))
        : Width.Pick<Mulx<ThirdRegister>>(Width.Of(instruction, 0));

    private static Handler SelectAdd<TFlag>(in Instruction instruction, ref Op op)
        where TFlag : IFlag => Width.IsMemory(instruction, 1)
            ? Width.Pick<AddWith<TFlag, MemorySource>>(Width.Of(instruction, 0))
            : Width.Pick<AddWith<TFlag, RegisterSource>>(Width.Of(instruction, 0));

    private static Handler SelectCrc32(in Instruction instruction, ref Op op) => Width.IsMemory(instruction, 1)
        ? Width.Pick<Crc32<MemorySource>>(Width.Of(instruction, 1))
        : Width.Pick<Crc32<RegisterSource>>(Width.Of(instruction, 1));

    private readonly struct TwoSources<TOperation, TFirst, TSecond> : IByWidth
        where TOperation : ITwoSources
        where TFirst : ISource
        where TSecond : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TFirst.Read(c, op, out T first) || !TSecond.Read(c, op, out T second))
                return null;
            Registers.Set(c, op->Dst, TOperation.Apply(c, first, second));
            return op + 1;
        }
    }

    private readonly struct Mulx<TSource> : IByWidth
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TSource.Read(c, op, out T source))
                return null;
            ulong rdx = c->State.Gpr[Gpr.RDX];
            ulong low, high;
            if (sizeof(T) == 8)
                high = Math.BigMul(rdx, ShiftForms.Extend(source), out low);
            else
            {
                low = (uint)rdx * ShiftForms.Extend(source);
                high = low >> 32;
            }
            // With one register for both halves the high one stays (SDM 2B, MULX).
            Registers.Set(c, op->Src, *(T*)&low);
            Registers.Set(c, op->Dst, *(T*)&high);
            return op + 1;
        }
    }

    /// <summary>The one flag that ADCX or ADOX reads and writes.</summary>
    private interface IFlag
    {
        static abstract ulong Get(VcpuContext* c);

        static abstract void Set(VcpuContext* c, ulong value);
    }

    private readonly struct CarryFlag : IFlag
    {
        public static ulong Get(VcpuContext* c) => LazyFlags.Carry(c);

        public static void Set(VcpuContext* c, ulong value) => LazyFlags.Replace(c, value, OverflowFlag.Get(c)).Commit(c);
    }

    private readonly struct OverflowFlag : IFlag
    {
        public static ulong Get(VcpuContext* c) => (c->FlagAux ^ (c->FlagAux << 1)) >> 31;

        public static void Set(VcpuContext* c, ulong value) => LazyFlags.Replace(c, LazyFlags.Carry(c), value).Commit(c);
    }

    private readonly struct AddWith<TFlag, TSource> : IByWidth
        where TFlag : IFlag
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TSource.Read(c, op, out T source))
                return null;
            UInt128 sum = (UInt128)ShiftForms.Extend(Registers.Get<T>(c, op->Dst)) + ShiftForms.Extend(source) + TFlag.Get(c);
            ulong low = (ulong)sum;
            TFlag.Set(c, (ulong)(sum >> (sizeof(T) * 8)) & 1);
            Registers.Set(c, op->Dst, *(T*)&low);
            return op + 1;
        }
    }

    private readonly struct Crc32<TSource> : IByWidth
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TSource.Read(c, op, out T source))
                return null;
            uint crc = (uint)Registers.Get<Word64>(c, op->Dst).Value;
            if (sizeof(T) == 1)
                crc = BitOperations.Crc32C(crc, Unsafe.BitCast<T, byte>(source));
            else if (sizeof(T) == 2)
                crc = BitOperations.Crc32C(crc, Unsafe.BitCast<T, ushort>(source));
            else if (sizeof(T) == 4)
                crc = BitOperations.Crc32C(crc, Unsafe.BitCast<T, uint>(source));
            else
                crc = BitOperations.Crc32C(crc, Unsafe.BitCast<T, ulong>(source));
            Registers.Set(c, op->Dst, new Word32(crc));
            return op + 1;
        }
    }

    private readonly struct Andn : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            T result = ~first & second;
            LazyFlags.Logical(result).Commit(c);
            return result;
        }
    }

    private readonly struct Blsi : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            T result = second & (T.Zero - second);
            LazyFlags.With(result, second != T.Zero ? 1ul : 0, 0).Commit(c);
            return result;
        }
    }

    private readonly struct Blsmsk : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            T result = second ^ (second - T.One);
            LazyFlags.With(result, second == T.Zero ? 1ul : 0, 0).Commit(c);
            return result;
        }
    }

    private readonly struct Blsr : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            T result = second & (second - T.One);
            LazyFlags.With(result, second == T.Zero ? 1ul : 0, 0).Commit(c);
            return result;
        }
    }

    private readonly struct Bextr : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            ulong control = ShiftForms.Extend(second);
            int start = (int)(control & 0xff), length = (int)(control >> 8 & 0xff);
            ulong value = start < 64 ? ShiftForms.Extend(first) >> start : 0;
            if (length < 64)
                value &= (1ul << length) - 1;
            T result = *(T*)&value;
            LazyFlags.Logical(result).Commit(c);
            return result;
        }
    }

    private readonly struct Bzhi : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            int index = (int)(ShiftForms.Extend(second) & 0xff);
            bool whole = index >= sizeof(T) * 8;
            T result = whole ? first : first & ((T.One << index) - T.One);
            LazyFlags.With(result, whole ? 1ul : 0, 0).Commit(c);
            return result;
        }
    }

    private readonly struct Sarx : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            long value = (long)LazyFlags.SignExtend(first) >> Count(second);
            return *(T*)&value;
        }
    }

    private readonly struct Shlx : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T> => first << Count(second);
    }

    private readonly struct Shrx : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T> => first >>> Count(second);
    }

    private readonly struct Rorx : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T> => first >>> Count(second) | first << (sizeof(T) * 8 - Count(second));
    }

    private static int Count<T>(T value)
        where T : unmanaged => (int)ShiftForms.Extend(value) & (sizeof(T) * 8 - 1);

    /// <summary>Scatters the low bits of the first source to the places that the second has set.</summary>
    private readonly struct Pdep : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            ulong value = ShiftForms.Extend(first), mask = ShiftForms.Extend(second), result = 0;
            for (; mask != 0; mask &= mask - 1, value >>= 1)
                if ((value & 1) != 0)
                    result |= mask & (0 - mask);
            return *(T*)&result;
        }
    }

    private readonly struct Pext : ITwoSources
    {
        public static T Apply<T>(VcpuContext* c, T first, T second)
            where T : unmanaged, IWord<T>
        {
            ulong value = ShiftForms.Extend(first), mask = ShiftForms.Extend(second), result = 0;
            for (ulong bit = 1; mask != 0; mask &= mask - 1, bit <<= 1)
                if ((value & mask & (0 - mask)) != 0)
                    result |= bit;
            return *(T*)&result;
        }
    }
}
