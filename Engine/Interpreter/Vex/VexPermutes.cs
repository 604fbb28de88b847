using System.Numerics;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>What AVX and AVX2 have beyond SSE's operations: broadcasts, permutations over and within halves, 128-bit parts, shifts by element.</summary>
internal static unsafe class VexPermutes
{
    public static readonly Row[] Rows =
    [
        VexRows.Of<Broadcast<uint>>(Mnemonic.Vbroadcastss), VexRows.Of<Broadcast<ulong>>(Mnemonic.Vbroadcastsd),
        VexRows.Of<Broadcast<byte>>(Mnemonic.Vpbroadcastb), VexRows.Of<Broadcast<ushort>>(Mnemonic.Vpbroadcastw),
        VexRows.Of<Broadcast<uint>>(Mnemonic.Vpbroadcastd), VexRows.Of<Broadcast<ulong>>(Mnemonic.Vpbroadcastq),
        VexRows.Of<Broadcast<Vector128<byte>>>(Mnemonic.Vbroadcastf128), VexRows.Of<Broadcast<Vector128<byte>>>(Mnemonic.Vbroadcasti128),
        VexRows.Of<InsertHalf>(Mnemonic.Vinsertf128), VexRows.Of<InsertHalf>(Mnemonic.Vinserti128),
        new(Mnemonic.Vextractf128, SelectExtractHalf), new(Mnemonic.Vextracti128, SelectExtractHalf),
        VexRows.Of<PermuteHalves>(Mnemonic.Vperm2f128), VexRows.Of<PermuteHalves>(Mnemonic.Vperm2i128),
        VexRows.Of<PermuteDwords>(Mnemonic.Vpermd), VexRows.Of<PermuteDwords>(Mnemonic.Vpermps),
        VexRows.Of<PermuteQwords>(Mnemonic.Vpermq), VexRows.Of<PermuteQwords>(Mnemonic.Vpermpd),
        InLane<Shuffles.ShuffleDwords, SelectSingles>(Mnemonic.Vpermilps, bits: 0), InLane<SelectPair, SelectDoubles>(Mnemonic.Vpermilpd, bits: 2),
        VexRows.Controlled<Sse41Moves.Blend<uint>>(Mnemonic.Vpblendd, bits: 4),
        VexRows.Packed<ShiftEachLeft<uint>>(Mnemonic.Vpsllvd), VexRows.Packed<ShiftEachLeft<ulong>>(Mnemonic.Vpsllvq),
        VexRows.Packed<ShiftEachRight<uint>>(Mnemonic.Vpsrlvd), VexRows.Packed<ShiftEachRight<ulong>>(Mnemonic.Vpsrlvq),
        VexRows.Packed<ShiftEachArithmetic>(Mnemonic.Vpsravd),
    ];

    /// <summary>Permutations within halves, whose control is the immediate or a vector.</summary>
    private static Row InLane<TControlled, TPacked>(Mnemonic mnemonic, int bits)
        where TControlled : struct, IControlledOperation
        where TPacked : struct, IPackedOperation
    {
        Selector byImmediate = VexRows.Controlled<TControlled>(mnemonic, bits).Select, byVector = VexRows.Packed<TPacked>(mnemonic).Select;
        return new(mnemonic, (in Instruction instruction, ref Op op) =>
            instruction.Op2Kind == OpKind.Immediate8 ? byImmediate(instruction, ref op) : byVector(instruction, ref op));
    }

    private readonly struct Broadcast<T> : IVexForms
        where T : unmanaged
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

        private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out T value))
                return VectorState.Leave(c, op);
            Vector128<byte> part = default;
            for (int i = 0; i < 16 / sizeof(T); i++)
                ((T*)&part)[i] = value;
            return VexForm.Write(c, op, part, TWidth.Is256 ? part : default);
        }
    }

    private readonly struct InsertHalf : IVexForms
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out Vector128<byte> part))
                return VectorState.Leave(c, op);
            Vector256<byte> first = VexForm.First(c, op);
            return (op->Extra & 1) != 0 ? VexForm.Write(c, op, first.GetLower(), part) : VexForm.Write(c, op, part, first.GetUpper());
        }
    }

    private static Handler SelectExtractHalf(in Instruction instruction, ref Op op)
    {
        VexForm.Bind(instruction, ref op);
        op.Src += (ushort)((op.Extra & 1) * 16);
        return VexForm.HasMemory(instruction) ? new(&ExtractHalfToMemory) : new(&ExtractHalf);
    }

    private static Op* ExtractHalf(VcpuContext* c, Op* op) =>
        VectorState.AvxReady(c) ? VexForm.Write(c, op, *(Vector128<byte>*)((byte*)c + op->Src)) : VectorState.Leave(c, op);

    private static Op* ExtractHalfToMemory(VcpuContext* c, Op* op) =>
        VectorState.AvxReady(c) && GuestAccess.Store(c, GuestAccess.Address(c, op), *(Vector128<byte>*)((byte*)c + op->Src)) ? op + 1 : VectorState.Leave(c, op);

    /// <summary>Each half of the result is one of the four halves, or zero.</summary>
    private readonly struct PermuteHalves : IVexForms
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out Vector256<byte> second))
                return VectorState.Leave(c, op);
            Vector256<byte> first = VexForm.First(c, op);
            return VexForm.Write(c, op, Choose(first, second, op->Extra), Choose(first, second, op->Extra >> 4));
        }

        private static Vector128<byte> Choose(Vector256<byte> first, Vector256<byte> second, uint control) => (control & 0xb) switch
        {
            0 => first.GetLower(),
            1 => first.GetUpper(),
            2 => second.GetLower(),
            3 => second.GetUpper(),
            _ => default,
        };
    }

    /// <summary>Dwords of the last source by the indices in the first.</summary>
    private readonly struct PermuteDwords : IVexForms
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out Vector256<byte> source))
                return VectorState.Leave(c, op);
            Vector256<byte> indices = VexForm.First(c, op), result = default;
            for (int i = 0; i < 8; i++)
                ((uint*)&result)[i] = ((uint*)&source)[((uint*)&indices)[i] & 7];
            return VexForm.Write(c, op, result.GetLower(), result.GetUpper());
        }
    }

    /// <summary>Qwords by the immediate's pairs of bits.</summary>
    private readonly struct PermuteQwords : IVexForms
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out Vector256<byte> source))
                return VectorState.Leave(c, op);
            Vector256<byte> result = default;
            for (int i = 0; i < 4; i++)
                ((ulong*)&result)[i] = ((ulong*)&source)[op->Extra >> (2 * i) & 3];
            return VexForm.Write(c, op, result.GetLower(), result.GetUpper());
        }
    }

    private readonly struct SelectSingles : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Shuffle(left.AsUInt32(), right.AsUInt32() & Vector128.Create(3u)).AsByte();
    }

    /// <summary>Bit 1 of each index chooses.</summary>
    private readonly struct SelectDoubles : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Vector128.Shuffle(left.AsUInt64(), (right.AsUInt64() >>> 1) & Vector128.Create(1ul)).AsByte();
    }

    private readonly struct SelectPair : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control) =>
            Vector128.Create(right.AsUInt64().GetElement((int)(control & 1)), right.AsUInt64().GetElement((int)(control >> 1 & 1))).AsByte();
    }

    // A count of the element's width or more leaves nothing.
    private readonly struct ShiftEachLeft<T> : IPackedOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<byte> result = default;
            for (int i = 0; i < 16 / sizeof(T); i++)
            {
                T count = ((T*)&right)[i];
                if (count < T.CreateTruncating(sizeof(T) * 8))
                    ((T*)&result)[i] = ((T*)&left)[i] << int.CreateTruncating(count);
            }
            return result;
        }
    }

    private readonly struct ShiftEachRight<T> : IPackedOperation
        where T : unmanaged, IBinaryInteger<T>
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<byte> result = default;
            for (int i = 0; i < 16 / sizeof(T); i++)
            {
                T count = ((T*)&right)[i];
                if (count < T.CreateTruncating(sizeof(T) * 8))
                    ((T*)&result)[i] = ((T*)&left)[i] >>> int.CreateTruncating(count);
            }
            return result;
        }
    }

    private readonly struct ShiftEachArithmetic : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<byte> result = default;
            for (int i = 0; i < 4; i++)
                ((int*)&result)[i] = ((int*)&left)[i] >> (int)Math.Min(((uint*)&right)[i], 31);
            return result;
        }
    }
}
