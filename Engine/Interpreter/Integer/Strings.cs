using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>
/// MOVS, STOS, LODS, CMPS, SCAS, with and without rep. A rep instruction stops after a fixed number of iterations, so
/// that where it stops does not depend on when somebody asked for it, and goes on from its registers.
/// </summary>
internal static unsafe class Strings
{
    /// <summary>Iterations between two looks at what waits.</summary>
    private const ulong Longest = 4096;

    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Movsb, Select<Movs, Word8>),
        new(Mnemonic.Movsw, Select<Movs, Word16>),
        new(Mnemonic.Movsd, Select<Movs, Word32>),
        new(Mnemonic.Movsq, Select<Movs, Word64>),
        new(Mnemonic.Stosb, Select<Stos, Word8>),
        new(Mnemonic.Stosw, Select<Stos, Word16>),
        new(Mnemonic.Stosd, Select<Stos, Word32>),
        new(Mnemonic.Stosq, Select<Stos, Word64>),
        new(Mnemonic.Lodsb, Select<Lods, Word8>),
        new(Mnemonic.Lodsw, Select<Lods, Word16>),
        new(Mnemonic.Lodsd, Select<Lods, Word32>),
        new(Mnemonic.Lodsq, Select<Lods, Word64>),
        new(Mnemonic.Cmpsb, Select<Cmps, Word8>),
        new(Mnemonic.Cmpsw, Select<Cmps, Word16>),
        new(Mnemonic.Cmpsd, Select<Cmps, Word32>),
        new(Mnemonic.Cmpsq, Select<Cmps, Word64>),
        new(Mnemonic.Scasb, Select<Scas, Word8>),
        new(Mnemonic.Scasw, Select<Scas, Word16>),
        new(Mnemonic.Scasd, Select<Scas, Word32>),
        new(Mnemonic.Scasq, Select<Scas, Word64>),
    ];

    private interface IStringOperation
    {
        /// <summary>It compares: rep ends by ZF, too.</summary>
        static abstract bool Compares { get; }

        static abstract bool MovesSource { get; }

        static abstract bool MovesDestination { get; }

        /// <summary>One iteration at two linear addresses; false: a fault.</summary>
        static abstract bool Step<T>(VcpuContext* c, ulong source, ulong destination)
            where T : unmanaged, IWord<T>;

        /// <summary>Up to <paramref name="count"/> iterations upwards at once; 0 where that is not possible here.</summary>
        static abstract ulong Many<T>(VcpuContext* c, ulong source, ulong destination, ulong count)
            where T : unmanaged, IWord<T>;
    }

    private static Handler Select<TOperation, T>(in Instruction instruction, ref Op op)
        where TOperation : IStringOperation
        where T : unmanaged, IWord<T>
    {
        // MOVSD and CMPSD name SSE instructions as well.
        if (!instruction.IsStringInstruction)
            return default;
        // ES is the destination's, whatever the prefix; 64-bit mode gives it no base.
        op.Third = (op.Mode & CodeMode.SizeMask) == CodeMode.Code64 ? Registers.Zero : Registers.SegmentBase(Register.ES);
        bool rep = (op.Flags & (byte)(OpFlags.Rep | OpFlags.Repne)) != 0;
        return op.AddressSize switch
        {
            8 => rep ? new Handler(&Repeat<TOperation, T, Word64>) : new Handler(&Once<TOperation, T, Word64>),
            4 => rep ? new Handler(&Repeat<TOperation, T, Word32>) : new Handler(&Once<TOperation, T, Word32>),
            _ => rep ? new Handler(&Repeat<TOperation, T, Word16>) : new Handler(&Once<TOperation, T, Word16>),
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Offset<TAddress>(VcpuContext* c, int register)
        where TAddress : unmanaged
    {
        ulong value = c->State.Gpr[register];
        return ShiftForms.Extend(*(TAddress*)&value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetOffset<TAddress>(VcpuContext* c, int register, ulong value)
        where TAddress : unmanaged
    {
        if (sizeof(TAddress) == 2)
            *(ushort*)&c->State.Gpr[register] = (ushort)value;
        else
            c->State.Gpr[register] = sizeof(TAddress) == 4 ? (uint)value : value;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong SourceAddress<TAddress>(VcpuContext* c, Op* op)
        where TAddress : unmanaged => Offset<TAddress>(c, Gpr.RSI) + *(ulong*)((byte*)c + op->SegmentBase);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong DestinationAddress<TAddress>(VcpuContext* c, Op* op)
        where TAddress : unmanaged => Offset<TAddress>(c, Gpr.RDI) + *(ulong*)((byte*)c + op->Third);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Advance<TOperation, TAddress>(VcpuContext* c, ulong delta)
        where TOperation : IStringOperation
        where TAddress : unmanaged
    {
        if (TOperation.MovesSource)
            SetOffset<TAddress>(c, Gpr.RSI, c->State.Gpr[Gpr.RSI] + delta);
        if (TOperation.MovesDestination)
            SetOffset<TAddress>(c, Gpr.RDI, c->State.Gpr[Gpr.RDI] + delta);
    }

    private static Op* Once<TOperation, T, TAddress>(VcpuContext* c, Op* op)
        where TOperation : IStringOperation
        where T : unmanaged, IWord<T>
        where TAddress : unmanaged
    {
        if (!TOperation.Step<T>(c, SourceAddress<TAddress>(c, op), DestinationAddress<TAddress>(c, op)))
            return null;
        Advance<TOperation, TAddress>(c, (c->State.Rflags & Rflags.DF) == 0 ? (ulong)sizeof(T) : 0 - (ulong)sizeof(T));
        return op + 1;
    }

    private static Op* Repeat<TOperation, T, TAddress>(VcpuContext* c, Op* op)
        where TOperation : IStringOperation
        where T : unmanaged, IWord<T>
        where TAddress : unmanaged
    {
        bool up = (c->State.Rflags & Rflags.DF) == 0;
        ulong delta = up ? (ulong)sizeof(T) : 0 - (ulong)sizeof(T);
        ulong left = Offset<TAddress>(c, Gpr.RCX);
        // Debug traps come after each iteration.
        ulong room = (c->State.Rflags & Rflags.TF) == 0 && !Breakpoints.AreOn(c->State) ? Longest : 1;
        while (left != 0)
        {
            if (room == 0)
            {
                Completion.Stop(c, Completion.Partial);
                return null;
            }
            ulong source = SourceAddress<TAddress>(c, op), destination = DestinationAddress<TAddress>(c, op);
            ulong done = up && !Wraps<TAddress>(c, Math.Min(left, room) * (ulong)sizeof(T))
                ? TOperation.Many<T>(c, source, destination, Math.Min(left, room))
                : 0;
            if (done == 0)
            {
                if (!TOperation.Step<T>(c, source, destination))
                    return null;
                done = 1;
            }
            Advance<TOperation, TAddress>(c, delta * done);
            left -= done;
            room -= done;
            SetOffset<TAddress>(c, Gpr.RCX, left);
            if (TOperation.Compares && (c->FlagResult == 0) != ((op->Flags & (byte)OpFlags.Rep) != 0))
                break;
        }
        return op + 1;
    }

    /// <summary>Whether a run of bytes leaves the offsets' range; 64-bit addresses run into the canonical check instead.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Wraps<TAddress>(VcpuContext* c, ulong bytes)
        where TAddress : unmanaged
    {
        if (sizeof(TAddress) == 8)
            return false;
        ulong end = 1ul << (sizeof(TAddress) * 8);
        return Offset<TAddress>(c, Gpr.RSI) + bytes > end || Offset<TAddress>(c, Gpr.RDI) + bytes > end;
    }

    /// <summary>Iterations that stay within an address's page.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong InPage<T>(ulong address)
        where T : unmanaged => (0x1000 - (address & 0xfff)) / (ulong)sizeof(T);

    private readonly struct Movs : IStringOperation
    {
        public static bool Compares => false;

        public static bool MovesSource => true;

        public static bool MovesDestination => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Step<T>(VcpuContext* c, ulong source, ulong destination)
            where T : unmanaged, IWord<T> =>
            GuestAccess.Load(c, source, out T value) && GuestAccess.Store(c, destination, value);

        public static ulong Many<T>(VcpuContext* c, ulong source, ulong destination, ulong count)
            where T : unmanaged, IWord<T>
        {
            count = Math.Min(count, Math.Min(InPage<T>(source), InPage<T>(destination)));
            if (count == 0)
                return 0;
            ulong bytes = count * (ulong)sizeof(T);
            byte* from = (byte*)GuestAccess.ReadPointer(c, source, (int)bytes);
            byte* to = (byte*)GuestAccess.WritePointer(c, destination, (int)bytes);
            if (from == null || to == null)
                return 0;
            if (to <= from || to >= from + bytes)
            {
                Buffer.MemoryCopy(from, to, bytes, bytes);
                return count;
            }
            // Each element is read after the one before it was stored: a pattern repeats.
            for (ulong i = 0; i < bytes; i += (ulong)sizeof(T))
                Unsafe.WriteUnaligned(to + i, Unsafe.ReadUnaligned<T>(from + i));
            return count;
        }
    }

    private readonly struct Stos : IStringOperation
    {
        public static bool Compares => false;

        public static bool MovesSource => false;

        public static bool MovesDestination => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Step<T>(VcpuContext* c, ulong source, ulong destination)
            where T : unmanaged, IWord<T> => GuestAccess.Store(c, destination, Accumulator<T>(c));

        public static ulong Many<T>(VcpuContext* c, ulong source, ulong destination, ulong count)
            where T : unmanaged, IWord<T>
        {
            count = Math.Min(count, InPage<T>(destination));
            if (count == 0)
                return 0;
            void* to = GuestAccess.WritePointer(c, destination, (int)count * sizeof(T));
            if (to == null)
                return 0;
            T value = Accumulator<T>(c);
            if (value == T.Zero)
                new Span<byte>(to, (int)count * sizeof(T)).Clear();
            else
                for (ulong i = 0; i < count; i++)
                    Unsafe.WriteUnaligned((T*)to + i, value);
            return count;
        }
    }

    private readonly struct Lods : IStringOperation
    {
        public static bool Compares => false;

        public static bool MovesSource => true;

        public static bool MovesDestination => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Step<T>(VcpuContext* c, ulong source, ulong destination)
            where T : unmanaged, IWord<T>
        {
            if (!GuestAccess.Load(c, source, out T value))
                return false;
            if (sizeof(T) == 4)
                c->State.Gpr[Gpr.RAX] = ShiftForms.Extend(value);
            else
                *(T*)&c->State.Gpr[Gpr.RAX] = value;
            return true;
        }

        public static ulong Many<T>(VcpuContext* c, ulong source, ulong destination, ulong count)
            where T : unmanaged, IWord<T> => 0;
    }

    private readonly struct Cmps : IStringOperation
    {
        public static bool Compares => true;

        public static bool MovesSource => true;

        public static bool MovesDestination => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Step<T>(VcpuContext* c, ulong source, ulong destination)
            where T : unmanaged, IWord<T>
        {
            if (!GuestAccess.Load(c, source, out T left) || !GuestAccess.Load(c, destination, out T right))
                return false;
            Arithmetic.Sub.Apply(c, left, right, out LazyFlags flags);
            flags.Commit(c);
            return true;
        }

        public static ulong Many<T>(VcpuContext* c, ulong source, ulong destination, ulong count)
            where T : unmanaged, IWord<T> => 0;
    }

    private readonly struct Scas : IStringOperation
    {
        public static bool Compares => true;

        public static bool MovesSource => false;

        public static bool MovesDestination => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Step<T>(VcpuContext* c, ulong source, ulong destination)
            where T : unmanaged, IWord<T>
        {
            if (!GuestAccess.Load(c, destination, out T value))
                return false;
            Arithmetic.Sub.Apply(c, Accumulator<T>(c), value, out LazyFlags flags);
            flags.Commit(c);
            return true;
        }

        public static ulong Many<T>(VcpuContext* c, ulong source, ulong destination, ulong count)
            where T : unmanaged, IWord<T> => 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Accumulator<T>(VcpuContext* c)
        where T : unmanaged
    {
        ulong rax = c->State.Gpr[Gpr.RAX];
        return *(T*)&rax;
    }
}
