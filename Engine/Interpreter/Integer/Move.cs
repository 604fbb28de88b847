using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>MOV between general registers and memory, MOVZX, MOVSX, MOVSXD, CMOVcc, LEA, BSWAP, XLAT, MOVBE, MOVNTI and the conversions of the accumulator.</summary>
internal static unsafe class Move
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Mov, SelectMov),
        new(Mnemonic.Movnti, SelectMov),
        new(Mnemonic.Movzx, SelectExtend<ZeroExtend>),
        new(Mnemonic.Movsx, SelectExtend<SignExtend>),
        new(Mnemonic.Movsxd, SelectExtend<SignExtend>),
        new(Mnemonic.Lea, SelectLea),
        new(Mnemonic.Bswap, SelectBswap),
        new(Mnemonic.Movbe, SelectMovbe),
        new(Mnemonic.Xlatb, SelectXlat),
        new(Mnemonic.Cbw, (in Instruction instruction, ref Op op) => new Handler(&Cbw)),
        new(Mnemonic.Cwde, (in Instruction instruction, ref Op op) => new Handler(&Cwde)),
        new(Mnemonic.Cdqe, (in Instruction instruction, ref Op op) => new Handler(&Cdqe)),
        new(Mnemonic.Cwd, (in Instruction instruction, ref Op op) => new Handler(&Cwd)),
        new(Mnemonic.Cdq, (in Instruction instruction, ref Op op) => new Handler(&Cdq)),
        new(Mnemonic.Cqo, (in Instruction instruction, ref Op op) => new Handler(&Cqo)),
        .. Conditions.Rows<ConditionalMoves>(),
    ];

    private interface IExtend
    {
        static abstract ulong Apply<T>(T value)
            where T : unmanaged;
    }

    private static Handler SelectMov(in Instruction instruction, ref Op op)
    {
        bool toMemory = Width.IsMemory(instruction, 0), fromMemory = Width.IsMemory(instruction, 1);
        // Segment, control and debug registers are another family's.
        if ((!toMemory && !Width.IsGeneral(instruction, 0)) || (Width.IsRegister(instruction, 1) && !Width.IsGeneral(instruction, 1)))
            return default;
        if (toMemory)
            return Width.IsRegister(instruction, 1)
                ? Width.Pick<ToMemory<RegisterSource>>(Width.Of(instruction, 0))
                : Width.Pick<ToMemory<ImmediateSource>>(Width.Of(instruction, 0));
        int size = Width.Of(instruction, 0);
        if (fromMemory)
            return Width.Pick<ToRegister<MemorySource>>(size);
        return Width.IsRegister(instruction, 1) ? Width.Pick<ToRegister<RegisterSource>>(size) : Width.Pick<ToRegister<ImmediateSource>>(size);
    }

    private static Handler SelectExtend<TExtend>(in Instruction instruction, ref Op op)
        where TExtend : IExtend
    {
        // Sources of 1, 2 and 4 bytes into destinations of 2, 4 and 8.
        op.Extra = (uint)Width.Of(instruction, 0);
        int size = Width.Of(instruction, 1);
        return Width.IsMemory(instruction, 1)
            ? Extended<TExtend, MemorySource>(size, (int)op.Extra)
            : Extended<TExtend, RegisterSource>(size, (int)op.Extra);
    }

    private static Handler Extended<TExtend, TSource>(int from, int to)
        where TExtend : IExtend
        where TSource : ISource => to switch
        {
            2 => Width.Pick<Extend<TExtend, TSource, Word16>>(from),
            4 => Width.Pick<Extend<TExtend, TSource, Word32>>(from),
            8 => Width.Pick<Extend<TExtend, TSource, Word64>>(from),
            _ => default,
        };

    private static Handler SelectLea(in Instruction instruction, ref Op op)
    {
        op.SegmentBase = Registers.Zero;
        op.Flags &= unchecked((byte)~OpFlags.StackSegment);
        return Width.Pick<Lea>(Width.Of(instruction, 0));
    }

    private static Handler SelectBswap(in Instruction instruction, ref Op op) => Width.Of(instruction, 0) switch
    {
        // The 16-bit form is undefined (SDM 2A, BSWAP); processors clear the register's low word.
        2 => new Handler(&Bswap16),
        4 => new Handler(&Bswap32),
        _ => new Handler(&Bswap64),
    };

    private static Handler SelectXlat(in Instruction instruction, ref Op op)
    {
        // The operand is [rBX + AL]: not a whole register, so the handler adds it.
        op.Index = Registers.Zero;
        return new Handler(&Xlat);
    }

    private static Handler SelectMovbe(in Instruction instruction, ref Op op) => Width.IsMemory(instruction, 0)
        ? Width.Pick<MovbeStore>(Width.Of(instruction, 1))
        : Width.Pick<MovbeLoad>(Width.Of(instruction, 0));

    private readonly struct ToRegister<TSource> : IByWidth
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            if (!TSource.Read(c, op, out T value))
                return null;
            Registers.Set(c, op->Dst, value);
            return op + 1;
        }
    }

    private readonly struct ToMemory<TSource> : IByWidth
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            TSource.Read(c, op, out T value);
            if (!GuestAccess.Store(c, GuestAccess.Address(c, op), value))
                return null;
            return op + 1;
        }
    }

    private readonly struct Extend<TExtend, TSource, TTo> : IByWidth
        where TExtend : IExtend
        where TSource : ISource
        where TTo : unmanaged
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            if (!TSource.Read(c, op, out T value))
                return null;
            ulong extended = TExtend.Apply(value);
            Registers.Set(c, op->Dst, *(TTo*)&extended);
            return op + 1;
        }
    }

    private readonly struct ZeroExtend : IExtend
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(T value)
            where T : unmanaged => ShiftForms.Extend(value);
    }

    private readonly struct SignExtend : IExtend
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(T value)
            where T : unmanaged => LazyFlags.SignExtend(value);
    }

    private readonly struct Lea : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            ulong address = GuestAccess.Address(c, op);
            Registers.Set(c, op->Dst, *(T*)&address);
            return op + 1;
        }
    }

    private readonly struct MovbeLoad : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            if (!GuestAccess.Load(c, GuestAccess.Address(c, op), out T value))
                return null;
            Registers.Set(c, op->Dst, Reverse(value));
            return op + 1;
        }
    }

    private readonly struct MovbeStore : IByWidth
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            if (!GuestAccess.Store(c, GuestAccess.Address(c, op), Reverse(Registers.Get<T>(c, op->Src))))
                return null;
            return op + 1;
        }
    }

    private readonly struct ConditionalMoves : IConditionFamily
    {
        public static Mnemonic Of(ConditionCode code) => code switch
        {
            ConditionCode.o => Mnemonic.Cmovo,
            ConditionCode.no => Mnemonic.Cmovno,
            ConditionCode.b => Mnemonic.Cmovb,
            ConditionCode.ae => Mnemonic.Cmovae,
            ConditionCode.e => Mnemonic.Cmove,
            ConditionCode.ne => Mnemonic.Cmovne,
            ConditionCode.be => Mnemonic.Cmovbe,
            ConditionCode.a => Mnemonic.Cmova,
            ConditionCode.s => Mnemonic.Cmovs,
            ConditionCode.ns => Mnemonic.Cmovns,
            ConditionCode.p => Mnemonic.Cmovp,
            ConditionCode.np => Mnemonic.Cmovnp,
            ConditionCode.l => Mnemonic.Cmovl,
            ConditionCode.ge => Mnemonic.Cmovge,
            ConditionCode.le => Mnemonic.Cmovle,
            _ => Mnemonic.Cmovg,
        };

        public static Handler Select<TCondition>(in Instruction instruction, ref Op op)
            where TCondition : ICondition
        {
            int size = Width.Of(instruction, 0);
            return Width.IsMemory(instruction, 1)
                ? Width.Pick<ConditionalMove<TCondition, MemorySource>>(size)
                : Width.Pick<ConditionalMove<TCondition, RegisterSource>>(size);
        }
    }

    private readonly struct ConditionalMove<TCondition, TSource> : IByWidth
        where TCondition : ICondition
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged
        {
            // The source is read, and the upper half of a 32-bit destination cleared, whatever the condition.
            if (!TSource.Read(c, op, out T value))
                return null;
            Registers.Set(c, op->Dst, TCondition.Holds(c) ? value : Registers.Get<T>(c, op->Dst));
            return op + 1;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Reverse<T>(T value)
        where T : unmanaged
    {
        if (sizeof(T) == 2)
            return Unsafe.BitCast<ushort, T>(BinaryPrimitives.ReverseEndianness(Unsafe.BitCast<T, ushort>(value)));
        if (sizeof(T) == 4)
            return Unsafe.BitCast<uint, T>(BinaryPrimitives.ReverseEndianness(Unsafe.BitCast<T, uint>(value)));
        if (sizeof(T) == 8)
            return Unsafe.BitCast<ulong, T>(BinaryPrimitives.ReverseEndianness(Unsafe.BitCast<T, ulong>(value)));
        return value;
    }

    private static Op* Bswap16(VcpuContext* c, Op* op)
    {
        Registers.Set(c, op->Dst, Word16.Zero);
        return op + 1;
    }

    private static Op* Bswap32(VcpuContext* c, Op* op)
    {
        Registers.Set(c, op->Dst, new Word32(BinaryPrimitives.ReverseEndianness(Registers.Get<Word32>(c, op->Dst).Value)));
        return op + 1;
    }

    private static Op* Bswap64(VcpuContext* c, Op* op)
    {
        Registers.Set(c, op->Dst, new Word64(BinaryPrimitives.ReverseEndianness(Registers.Get<Word64>(c, op->Dst).Value)));
        return op + 1;
    }

    private static Op* Xlat(VcpuContext* c, Op* op)
    {
        if (!GuestAccess.Load(c, GuestAccess.Address(c, op, (byte)c->State.Gpr[Gpr.RAX]), out Word8 value))
            return null;
        *(Word8*)&c->State.Gpr[Gpr.RAX] = value;
        return op + 1;
    }

    private static Op* Cbw(VcpuContext* c, Op* op)
    {
        *(short*)&c->State.Gpr[Gpr.RAX] = (sbyte)c->State.Gpr[Gpr.RAX];
        return op + 1;
    }

    private static Op* Cwde(VcpuContext* c, Op* op)
    {
        c->State.Gpr[Gpr.RAX] = (uint)(short)c->State.Gpr[Gpr.RAX];
        return op + 1;
    }

    private static Op* Cdqe(VcpuContext* c, Op* op)
    {
        c->State.Gpr[Gpr.RAX] = (ulong)(int)c->State.Gpr[Gpr.RAX];
        return op + 1;
    }

    private static Op* Cwd(VcpuContext* c, Op* op)
    {
        *(short*)&c->State.Gpr[Gpr.RDX] = (short)((short)c->State.Gpr[Gpr.RAX] >> 15);
        return op + 1;
    }

    private static Op* Cdq(VcpuContext* c, Op* op)
    {
        c->State.Gpr[Gpr.RDX] = (uint)((int)c->State.Gpr[Gpr.RAX] >> 31);
        return op + 1;
    }

    private static Op* Cqo(VcpuContext* c, Op* op)
    {
        c->State.Gpr[Gpr.RDX] = (ulong)((long)c->State.Gpr[Gpr.RAX] >> 63);
        return op + 1;
    }
}
