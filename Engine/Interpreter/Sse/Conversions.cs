using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Conversions between integers and floating-point numbers, and between the two floating-point formats.</summary>
internal static unsafe class Conversions
{
    public static readonly Row[] Rows =
    [
        Vectors<SinglesFromDwords, Vector128<byte>>(Mnemonic.Cvtdq2ps),
        Vectors<DoublesFromDwords, ulong>(Mnemonic.Cvtdq2pd),
        Vectors<DwordsFromSingles, Vector128<byte>>(Mnemonic.Cvtps2dq),
        Vectors<Truncating<DwordsFromSingles>, Vector128<byte>>(Mnemonic.Cvttps2dq),
        Vectors<DwordsFromDoubles, Vector128<byte>>(Mnemonic.Cvtpd2dq),
        Vectors<Truncating<DwordsFromDoubles>, Vector128<byte>>(Mnemonic.Cvttpd2dq),
        Vectors<DoublesFromSingles, ulong>(Mnemonic.Cvtps2pd),
        Vectors<SinglesFromDoubles, Vector128<byte>>(Mnemonic.Cvtpd2ps),
        Vectors<DoubleFromSingle, uint>(Mnemonic.Cvtss2sd),
        Vectors<SingleFromDouble, ulong>(Mnemonic.Cvtsd2ss),
        FromGeneral<float>(Mnemonic.Cvtsi2ss),
        FromGeneral<double>(Mnemonic.Cvtsi2sd),
        ToGeneral<float>(Mnemonic.Cvtss2si, truncate: false),
        ToGeneral<float>(Mnemonic.Cvttss2si, truncate: true),
        ToGeneral<double>(Mnemonic.Cvtsd2si, truncate: false),
        ToGeneral<double>(Mnemonic.Cvttsd2si, truncate: true),
        FromMmx<LowSinglesFromDwords>(Mnemonic.Cvtpi2ps),
        FromMmx<DoublesFromDwords>(Mnemonic.Cvtpi2pd),
        ToMmx<DwordsFromLowSingles, ulong>(Mnemonic.Cvtps2pi),
        ToMmx<Truncating<DwordsFromLowSingles>, ulong>(Mnemonic.Cvttps2pi),
        ToMmx<DwordsFromDoubles, Vector128<byte>>(Mnemonic.Cvtpd2pi),
        ToMmx<Truncating<DwordsFromDoubles>, Vector128<byte>>(Mnemonic.Cvttpd2pi),
    ];

    /// <summary>A conversion of a vector's lanes; target lanes that it does not write stay.</summary>
    internal interface IConversion
    {
        static abstract void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags);
    }

    private static Row Vectors<TConversion, TMemory>(Mnemonic mnemonic)
        where TConversion : struct, IConversion
        where TMemory : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        return new Handler(Operands.HasMemory(instruction) ? &VectorsMemory<TConversion, TMemory> : &VectorsRegister<TConversion>);
    });

    private static Op* VectorsRegister<TConversion>(VcpuContext* c, Op* op)
        where TConversion : struct, IConversion
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return Finish<TConversion>(c, op, *(Vector128<byte>*)((byte*)c + op->Src));
    }

    private static Op* VectorsMemory<TConversion, TMemory>(VcpuContext* c, Op* op)
        where TConversion : struct, IConversion
        where TMemory : unmanaged
    {
        if (!VectorState.SseReady(c) || !Operands.Fetch<TMemory>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return Finish<TConversion>(c, op, source);
    }

    private static Op* Finish<TConversion>(VcpuContext* c, Op* op, Vector128<byte> source)
        where TConversion : struct, IConversion
    {
        Vector128<byte>* target = (Vector128<byte>*)((byte*)c + op->Dst);
        Vector128<byte> result = *target;
        int flags = 0;
        TConversion.Apply(source, ref result, c->State.Mxcsr, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        *target = result;
        return op + 1;
    }

    private static Row FromGeneral<T>(Mnemonic mnemonic)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        bool wide = instruction.Code is Code.Cvtsi2ss_xmm_rm64 or Code.Cvtsi2sd_xmm_rm64;
        if (Operands.HasMemory(instruction))
            return new Handler(wide ? &FromIntegerMemory<T, long> : &FromIntegerMemory<T, int>);
        return new Handler(wide ? &FromIntegerRegister<T, long> : &FromIntegerRegister<T, int>);
    });

    private static Op* FromIntegerRegister<T, TInteger>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
        where TInteger : unmanaged, IBinaryInteger<TInteger>
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return FinishInteger<T>(c, op, long.CreateTruncating(*(TInteger*)((byte*)c + op->Src)));
    }

    private static Op* FromIntegerMemory<T, TInteger>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
        where TInteger : unmanaged, IBinaryInteger<TInteger>
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out TInteger source))
            return VectorState.Leave(c, op);
        return FinishInteger<T>(c, op, long.CreateTruncating(source));
    }

    private static Op* FinishInteger<T>(VcpuContext* c, Op* op, long source)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        int flags = 0;
        T result = FromInteger<T>(source, c->State.Mxcsr, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        *(T*)((byte*)c + op->Dst) = result;
        return op + 1;
    }

    private static Row ToGeneral<T>(Mnemonic mnemonic, bool truncate)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        op.Extra = (instruction.Op0Register >= Register.RAX ? 64u : 32u) | (truncate ? 0x100u : 0);
        return new Handler(Operands.HasMemory(instruction) ? &ToIntegerMemory<T> : &ToIntegerRegister<T>);
    });

    private static Op* ToIntegerRegister<T>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return FinishToInteger(c, op, *(T*)((byte*)c + op->Src));
    }

    private static Op* ToIntegerMemory<T>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out T source))
            return VectorState.Leave(c, op);
        return FinishToInteger(c, op, source);
    }

    /// <summary>Writes a number as an integer into a general register; the low bits of <see cref="Op.Extra"/> are its width, bit 8 truncates.</summary>
    internal static Op* FinishToInteger<T>(VcpuContext* c, Op* op, T source)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        int flags = 0, bits = (int)(op->Extra & 0xff);
        uint mxcsr = (op->Extra & 0x100) != 0 ? c->State.Mxcsr | RoundToZero : c->State.Mxcsr;
        long result = ToInteger(source, bits, mxcsr, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        *(ulong*)((byte*)c + op->Dst) = bits == 64 ? (ulong)result : (uint)result;
        return op + 1;
    }

    private static Row FromMmx<TConversion>(Mnemonic mnemonic)
        where TConversion : struct, IConversion => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        return new Handler(Operands.HasMemory(instruction) ? &VectorsMemory<TConversion, ulong> : &FromMmxRegister<TConversion>);
    });

    private static Op* FromMmxRegister<TConversion>(VcpuContext* c, Op* op)
        where TConversion : struct, IConversion
    {
        if (!VectorState.SseAndMmxReady(c))
            return VectorState.Leave(c, op);
        Op* next = Finish<TConversion>(c, op, Vector128.CreateScalar(*(ulong*)((byte*)c + op->Src)).AsByte());
        if (next != null)
            VectorState.EnterMmx(c);
        return next;
    }

    private static Row ToMmx<TConversion, TMemory>(Mnemonic mnemonic)
        where TConversion : struct, IConversion
        where TMemory : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        return new Handler(Operands.HasMemory(instruction) ? &ToMmxMemory<TConversion, TMemory> : &ToMmxRegister<TConversion>);
    });

    private static Op* ToMmxRegister<TConversion>(VcpuContext* c, Op* op)
        where TConversion : struct, IConversion
    {
        if (!VectorState.SseAndMmxReady(c))
            return VectorState.Leave(c, op);
        return FinishMmx<TConversion>(c, op, *(Vector128<byte>*)((byte*)c + op->Src));
    }

    private static Op* ToMmxMemory<TConversion, TMemory>(VcpuContext* c, Op* op)
        where TConversion : struct, IConversion
        where TMemory : unmanaged
    {
        if (!VectorState.SseAndMmxReady(c) || !Operands.Fetch<TMemory>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return FinishMmx<TConversion>(c, op, source);
    }

    private static Op* FinishMmx<TConversion>(VcpuContext* c, Op* op, Vector128<byte> source)
        where TConversion : struct, IConversion
    {
        Vector128<byte> result = default;
        int flags = 0;
        TConversion.Apply(source, ref result, c->State.Mxcsr, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        VectorState.WriteMmx(c, op->Dst, result.AsUInt64().ToScalar());
        return op + 1;
    }

    private const uint RoundToZero = 3 << 13, RoundingBits = 3 << 13;

    /// <summary>An integer as a floating-point number, rounded as MXCSR says.</summary>
    internal static T FromInteger<T>(long value, uint mxcsr, ref int flags)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        // Within the significand's width every integer is exact, whatever the rounding.
        long limit = sizeof(T) == 4 ? 1L << 24 : 1L << 53;
        if (value >= -limit && value <= limit)
            return T.CreateTruncating(value);
        FloatControl control = FloatControl.FromMxcsr(mxcsr);
        Number number = SoftFloat.Convert(Number.Integer(value), FloatLane.Format<T>(), ref control);
        flags |= control.Flags;
        return FloatLane.Pack<T>(number);
    }

    private static long ToInteger<T>(T value, int bits, uint mxcsr, ref int flags)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        // The host truncates exactly what is far inside the range; other roundings only where nothing is lost.
        double wide = double.CreateTruncating(value);
        double limit = bits == 64 ? 4611686018427387904.0 : 1073741824.0;
        if (Math.Abs(wide) < limit)
        {
            long whole = (long)wide;
            if (whole == wide)
            {
                if (whole != 0 || wide == 0)
                    return whole;
            }
            else if ((mxcsr & RoundingBits) == RoundToZero && Math.Abs(wide) >= 1)
            {
                flags |= X87Flags.Precision;
                return whole;
            }
        }
        var control = default(FloatControl);
        long result = SoftFloat.ToInteger(FloatLane.Unpack(value, mxcsr), bits, (Rounding)((mxcsr >> 13) & 3), ref control);
        flags |= control.Flags;
        return result;
    }

    private static TTo Reformat<TFrom, TTo>(TFrom value, uint mxcsr, ref int flags)
        where TFrom : unmanaged
        where TTo : unmanaged
    {
        FloatControl control = FloatControl.FromMxcsr(mxcsr);
        Number number = SoftFloat.Convert(FloatLane.Unpack(value, mxcsr), FloatLane.Format<TTo>(), ref control);
        flags |= control.Flags;
        return FloatLane.Pack<TTo>(number);
    }

    /// <summary>Exact by the host for normal numbers.</summary>
    private static double ToDouble(float value, uint mxcsr, ref int flags) =>
        float.IsNormal(value) || value == 0 && BitConverter.SingleToUInt32Bits(value) << 1 == 0 ? value : Reformat<float, double>(value, mxcsr, ref flags);

    /// <summary>By the host where rounding is to nearest and the result is well inside the normal range.</summary>
    private static float ToSingle(double value, uint mxcsr, ref int flags)
    {
        double magnitude = Math.Abs(value);
        if ((mxcsr & RoundingBits) == 0 && magnitude > 1e-37 && magnitude < 3e38)
        {
            float narrow = (float)value;
            if (narrow != value)
                flags |= X87Flags.Precision;
            return narrow;
        }
        return Reformat<double, float>(value, mxcsr, ref flags);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static T Get<T>(in Vector128<byte> vector, int index)
        where T : unmanaged => vector.As<byte, T>().GetElement(index);

    internal readonly struct Truncating<TConversion> : IConversion
        where TConversion : struct, IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            TConversion.Apply(source, ref target, mxcsr | RoundToZero, ref flags);
    }

    internal readonly struct SinglesFromDwords : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags)
        {
            Vector128<float> result = default;
            for (int i = 0; i < 4; i++)
                result = result.WithElement(i, FromInteger<float>(Get<int>(source, i), mxcsr, ref flags));
            target = result.AsByte();
        }
    }

    internal readonly struct LowSinglesFromDwords : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags)
        {
            Vector128<float> result = target.AsSingle();
            for (int i = 0; i < 2; i++)
                result = result.WithElement(i, FromInteger<float>(Get<int>(source, i), mxcsr, ref flags));
            target = result.AsByte();
        }
    }

    internal readonly struct DoublesFromDwords : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            target = Vector128.Create((double)Get<int>(source, 0), Get<int>(source, 1)).AsByte();
    }

    internal readonly struct DwordsFromSingles : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags)
        {
            Vector128<int> result = default;
            for (int i = 0; i < 4; i++)
                result = result.WithElement(i, (int)ToInteger(Get<float>(source, i), 32, mxcsr, ref flags));
            target = result.AsByte();
        }
    }

    internal readonly struct DwordsFromLowSingles : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            target = Vector128.Create(
                (int)ToInteger(Get<float>(source, 0), 32, mxcsr, ref flags), (int)ToInteger(Get<float>(source, 1), 32, mxcsr, ref flags), 0, 0).AsByte();
    }

    internal readonly struct DwordsFromDoubles : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            target = Vector128.Create(
                (int)ToInteger(Get<double>(source, 0), 32, mxcsr, ref flags), (int)ToInteger(Get<double>(source, 1), 32, mxcsr, ref flags), 0, 0).AsByte();
    }

    internal readonly struct DoublesFromSingles : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            target = Vector128.Create(ToDouble(Get<float>(source, 0), mxcsr, ref flags), ToDouble(Get<float>(source, 1), mxcsr, ref flags)).AsByte();
    }

    internal readonly struct SinglesFromDoubles : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            target = Vector128.Create(ToSingle(Get<double>(source, 0), mxcsr, ref flags), ToSingle(Get<double>(source, 1), mxcsr, ref flags), 0, 0).AsByte();
    }

    internal readonly struct DoubleFromSingle : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            target = target.AsDouble().WithElement(0, ToDouble(Get<float>(source, 0), mxcsr, ref flags)).AsByte();
    }

    internal readonly struct SingleFromDouble : IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags) =>
            target = target.AsSingle().WithElement(0, ToSingle(Get<double>(source, 0), mxcsr, ref flags)).AsByte();
    }
}
