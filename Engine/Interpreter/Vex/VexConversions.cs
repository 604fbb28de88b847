using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>Conversions between integers and floating-point formats (AVX), half precision among them (F16C).</summary>
internal static unsafe class VexConversions
{
    public static readonly Row[] Rows =
    [
        VexRows.Of<SameWidth<Conversions.SinglesFromDwords>>(Mnemonic.Vcvtdq2ps),
        VexRows.Of<SameWidth<Conversions.DwordsFromSingles>>(Mnemonic.Vcvtps2dq),
        VexRows.Of<SameWidth<Conversions.Truncating<Conversions.DwordsFromSingles>>>(Mnemonic.Vcvttps2dq),
        VexRows.Of<Widening<Conversions.DoublesFromDwords>>(Mnemonic.Vcvtdq2pd),
        VexRows.Of<Widening<Conversions.DoublesFromSingles>>(Mnemonic.Vcvtps2pd),
        VexRows.Of<Widening<SinglesFromHalves>>(Mnemonic.Vcvtph2ps),
        VexRows.Of<Narrowing<Conversions.DwordsFromDoubles>>(Mnemonic.Vcvtpd2dq),
        VexRows.Of<Narrowing<Conversions.Truncating<Conversions.DwordsFromDoubles>>>(Mnemonic.Vcvttpd2dq),
        VexRows.Of<Narrowing<Conversions.SinglesFromDoubles>>(Mnemonic.Vcvtpd2ps),
        VexRows.Of<Scalar<Conversions.DoubleFromSingle, uint>>(Mnemonic.Vcvtss2sd),
        VexRows.Of<Scalar<Conversions.SingleFromDouble, ulong>>(Mnemonic.Vcvtsd2ss),
        FromGeneral<float>(Mnemonic.Vcvtsi2ss), FromGeneral<double>(Mnemonic.Vcvtsi2sd),
        ToGeneral<float>(Mnemonic.Vcvtss2si, truncate: false), ToGeneral<float>(Mnemonic.Vcvttss2si, truncate: true),
        ToGeneral<double>(Mnemonic.Vcvtsd2si, truncate: false), ToGeneral<double>(Mnemonic.Vcvttsd2si, truncate: true),
        new(Mnemonic.Vcvtps2ph, SelectToHalves),
    ];

    private static Row FromGeneral<T>(Mnemonic mnemonic)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => new(mnemonic, (in Instruction instruction, ref Op op) =>
            Width.Of(instruction, 2) == 8 ? VexForm.Pick<FromInteger<T, long>>(instruction, ref op) : VexForm.Pick<FromInteger<T, int>>(instruction, ref op));

    private static Row ToGeneral<T>(Mnemonic mnemonic, bool truncate)
        where T : unmanaged, IBinaryFloatingPointIeee754<T> => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Handler handler = VexForm.Pick<ToInteger<T>>(instruction, ref op);
        op.Extra = (instruction.Op0Register >= Register.RAX ? 64u : 32u) | (truncate ? 0x100u : 0);
        return handler;
    });

    private static Handler SelectToHalves(in Instruction instruction, ref Op op)
    {
        bool wide = VexForm.Is256(instruction);
        op.Extra = instruction.Immediate8;
        op.Src = VexForm.Place(instruction, 1);
        if (instruction.Op0Kind == OpKind.Memory)
            return new(wide ? &StoreHalves<Vector128<byte>> : &StoreHalves<ulong>);
        op.Dst = VexForm.Place(instruction, 0);
        return new(wide ? &ToHalves<Vector128<byte>> : &ToHalves<ulong>);
    }

    private static Op* ToHalves<TResult>(VcpuContext* c, Op* op)
        where TResult : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        Vector128<byte> result = Halves(c, op, sizeof(TResult) / sizeof(ushort), out int flags);
        return FloatLane.Commit(c, flags) ? VexForm.Write(c, op, result) : VectorState.Leave(c, op);
    }

    private static Op* StoreHalves<TResult>(VcpuContext* c, Op* op)
        where TResult : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        Vector128<byte> result = Halves(c, op, sizeof(TResult) / sizeof(ushort), out int flags);
        // An exception of the numbers comes after a fault of the memory, and MXCSR changes only where neither keeps the store away.
        ulong address = GuestAccess.Address(c, op);
        if (!GuestAccess.LoadForWrite(c, address, out TResult _) || !FloatLane.Commit(c, flags) || !GuestAccess.Store(c, address, *(TResult*)&result))
            return VectorState.Leave(c, op);
        return op + 1;
    }

    /// <summary>Rounds by the immediate, or by MXCSR where its bit 2 says so; results are never flushed to zero (Intel SDM 2, VCVTPS2PH).</summary>
    private static Vector128<byte> Halves(VcpuContext* c, Op* op, int count, out int flags)
    {
        const uint UseMxcsr = 4;
        uint mxcsr = c->State.Mxcsr;
        FloatControl control = FloatControl.FromMxcsr(mxcsr);
        control.FlushToZero = false;
        if ((op->Extra & UseMxcsr) == 0)
            control.Rounding = (Rounding)(op->Extra & 3);
        float* source = (float*)((byte*)c + op->Src);
        Vector128<ushort> result = default;
        for (int i = 0; i < count; i++)
            result = result.WithElement(i, SoftFloat.Convert(FloatLane.Unpack(source[i], mxcsr), FloatFormat.Half, ref control).ToHalf());
        flags = control.Flags;
        return result.AsByte();
    }

    /// <summary>Four singles from four halves, which all have one; denormals neither count as zero nor are reported.</summary>
    private readonly struct SinglesFromHalves : Conversions.IConversion
    {
        public static void Apply(Vector128<byte> source, ref Vector128<byte> target, uint mxcsr, ref int flags)
        {
            Vector128<float> result = default;
            for (int i = 0; i < 4; i++)
            {
                var control = default(FloatControl);
                Number half = Number.FromHalf(source.AsUInt16().GetElement(i)) with { Denormal = false };
                result = result.WithElement(i, FloatLane.Pack<float>(SoftFloat.Convert(half, FloatFormat.Single, ref control)));
                flags |= control.Flags;
            }
            target = result.AsByte();
        }
    }

    /// <summary>Converts each half of the source that there is; false: not ready, or a fault is recorded.</summary>
    private static bool Halves<TConversion, TSource, TWidth>(VcpuContext* c, Op* op, out Vector128<byte> low, out Vector128<byte> high)
        where TConversion : struct, Conversions.IConversion
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
    {
        low = high = default;
        if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> source))
            return false;
        int flags = 0;
        TConversion.Apply(source.GetLower(), ref low, c->State.Mxcsr, ref flags);
        if (TWidth.Is256)
            TConversion.Apply(source.GetUpper(), ref high, c->State.Mxcsr, ref flags);
        return FloatLane.Commit(c, flags);
    }

    private readonly struct SameWidth<TConversion> : IVexForms
        where TConversion : struct, Conversions.IConversion
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

        private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth
        {
            return Halves<TConversion, TSource, TWidth>(c, op, out Vector128<byte> low, out Vector128<byte> high)
                ? VexForm.Write(c, op, low, high)
                : VectorState.Leave(c, op);
        }
    }

    /// <summary>Each 64 bits of the source become 128.</summary>
    private readonly struct Widening<TConversion> : IVexForms
        where TConversion : struct, Conversions.IConversion
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => TWidth.Is256 ? new(&Execute<TSource, Vector128<byte>>) : new(&Execute<TSource, ulong>);

        private static Op* Execute<TSource, TRead>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
            where TRead : unmanaged
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out TRead read))
                return VectorState.Leave(c, op);
            Vector128<byte> low = default, high = default;
            int flags = 0;
            TConversion.Apply(Vector128.CreateScalar(*(ulong*)&read).AsByte(), ref low, c->State.Mxcsr, ref flags);
            if (sizeof(TRead) == 16)
                TConversion.Apply(Vector128.CreateScalar(((ulong*)&read)[1]).AsByte(), ref high, c->State.Mxcsr, ref flags);
            return FloatLane.Commit(c, flags) ? VexForm.Write(c, op, low, high) : VectorState.Leave(c, op);
        }
    }

    /// <summary>Each 128 bits of the source become 64; the destination is an XMM register.</summary>
    private readonly struct Narrowing<TConversion> : IVexForms
        where TConversion : struct, Conversions.IConversion
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

        private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth
        {
            return Halves<TConversion, TSource, TWidth>(c, op, out Vector128<byte> low, out Vector128<byte> high)
                ? VexForm.Write(c, op, Vector128.Create(low.GetLower(), high.GetLower()))
                : VectorState.Leave(c, op);
        }
    }

    private readonly struct Scalar<TConversion, TRead> : IVexForms
        where TConversion : struct, Conversions.IConversion
        where TRead : unmanaged
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out TRead read))
                return VectorState.Leave(c, op);
            ulong source = sizeof(TRead) == 8 ? Unsafe.BitCast<TRead, ulong>(read) : Unsafe.BitCast<TRead, uint>(read);
            Vector128<byte> result = VexForm.First(c, op).GetLower();
            int flags = 0;
            TConversion.Apply(Vector128.CreateScalar(source).AsByte(), ref result, c->State.Mxcsr, ref flags);
            return FloatLane.Commit(c, flags) ? VexForm.Write(c, op, result) : VectorState.Leave(c, op);
        }
    }

    private readonly struct FromInteger<T, TInteger> : IVexForms
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
        where TInteger : unmanaged, IBinaryInteger<TInteger>
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource
        {
            if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out TInteger source))
                return VectorState.Leave(c, op);
            int flags = 0;
            Vector128<byte> result = VexForm.First(c, op).GetLower();
            *(T*)&result = Conversions.FromInteger<T>(long.CreateTruncating(source), c->State.Mxcsr, ref flags);
            return FloatLane.Commit(c, flags) ? VexForm.Write(c, op, result) : VectorState.Leave(c, op);
        }
    }

    private readonly struct ToInteger<T> : IVexForms
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth => new(&Execute<TSource>);

        private static Op* Execute<TSource>(VcpuContext* c, Op* op)
            where TSource : struct, ISource =>
            VectorState.AvxReady(c) && TSource.Read(c, op, out T source) ? Conversions.FinishToInteger(c, op, source) : VectorState.Leave(c, op);
    }
}
