using System.Numerics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>Square root, rounding, scaling, exponent extraction, partial remainders and constants.</summary>
internal static unsafe class X87Functions
{
    public static readonly Row[] Rows =
    [
        Unary<SquareRoot>(Mnemonic.Fsqrt),
        Unary<RoundToInteger>(Mnemonic.Frndint),
        new(Mnemonic.Fscale, (in Instruction instruction, ref Op op) => new Handler(&Scale)),
        new(Mnemonic.Fxtract, (in Instruction instruction, ref Op op) => new Handler(&Extract)),
        new(Mnemonic.Fprem, (in Instruction instruction, ref Op op) => new Handler(&TruncatingRemainder)),
        new(Mnemonic.Fprem1, (in Instruction instruction, ref Op op) => new Handler(&NearestRemainder)),
        Constant(Mnemonic.Fld1, 0, new UInt128(0x8000000000000000, 0)),
        Constant(Mnemonic.Fldz, 0, 0),
        Constant(Mnemonic.Fldpi, 1, WideConstants.Pi),
        Constant(Mnemonic.Fldl2t, 1, WideConstants.Log2Of10),
        Constant(Mnemonic.Fldl2e, 0, WideConstants.Log2OfE),
        Constant(Mnemonic.Fldlg2, -2, WideConstants.Log10Of2),
        Constant(Mnemonic.Fldln2, -1, WideConstants.Ln2),
    ];

    /// <summary>A function of ST0 that replaces it.</summary>
    internal interface IUnary
    {
        static abstract Number Apply(in Number value, FloatFormat precision, ref FloatControl control);
    }

    internal static Row Unary<TFunction>(Mnemonic mnemonic)
        where TFunction : struct, IUnary => new(mnemonic, (in Instruction instruction, ref Op op) => new Handler(&Replace<TFunction>));

    private static Op* Replace<TFunction>(VcpuContext* c, Op* op)
        where TFunction : struct, IUnary
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        if (X87Unit.IsEmpty(c, 0))
        {
            if (X87Unit.Underflow(c))
                X87Unit.Set(c, 0, Number.Indefinite);
            return op + 1;
        }
        FloatControl control = X87Unit.Control(c);
        Number result = TFunction.Apply(X87Unit.Get(c, 0), X87Unit.Precision(c), ref control);
        if (X87Unit.Report(c, control))
            X87Unit.Set(c, 0, result);
        return op + 1;
    }

    private static Row Constant(Mnemonic mnemonic, int exponent, UInt128 significand)
    {
        // One value a rounding mode: constants are rounded as the control word says, silently.
        var values = new Number[4];
        for (int i = 0; i < 4; i++)
        {
            var control = new FloatControl { Rounding = (Rounding)i, Masks = X87Flags.Exceptions };
            values[i] = significand == 0 ? default : SoftFloat.Round(false, exponent, significand, FloatFormat.Extended, ref control);
        }
        ulong packed = values[0].Significand;
        (ulong down, ulong up) = (values[1].Significand, values[2].Significand);
        ushort signExponent = values[0].ToExtended().SignExponent;
        return new(mnemonic, (in Instruction instruction, ref Op op) =>
        {
            op.Immediate = packed;
            op.Displacement = down;
            op.Link = (Op*)up;
            op.Extra = signExponent;
            return new Handler(&LoadConstant);
        });
    }

    private static Op* LoadConstant(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        X87Unit.ClearC1(c);
        X87Unit.PushRaw(c, (Rounding)(c->State.X87Control >> 10 & 3) switch
        {
            Rounding.Nearest => op->Immediate,
            Rounding.Up => (ulong)op->Link,
            _ => op->Displacement,
        }, (ushort)op->Extra);
        return op + 1;
    }

    /// <summary>ST0 * 2^trunc(ST1).</summary>
    private static Op* Scale(VcpuContext* c, Op* op)
    {
        if (!Two(c, op, out bool done))
            return done ? op + 1 : VectorState.Leave(c, op);
        FloatControl control = X87Unit.Control(c);
        Number result = ScaleBy(X87Unit.Get(c, 0), X87Unit.Get(c, 1), ref control);
        if (X87Unit.Report(c, control))
            X87Unit.Set(c, 0, result);
        return op + 1;
    }

    private static Number ScaleBy(in Number value, in Number scale, ref FloatControl control)
    {
        if (SoftFloat.Special(value, scale, ref control, out Number special))
            return special;
        if (scale.IsInfinity && (scale.Negative ? value.IsInfinity : value.IsZero))
            return SoftFloat.Invalid(ref control);
        SoftFloat.NoteDenormal(value, scale, ref control);
        if (value.IsZero || value.IsInfinity)
            return value;
        if (scale.IsInfinity)
            return scale.Negative ? Number.Zero(value.Negative) : Number.Infinity(value.Negative);
        int exponent = 0;
        if (!scale.IsZero && scale.Exponent >= 0)
        {
            // More than the whole exponent range either way ends in overflow or underflow alike.
            exponent = scale.Exponent > 20 ? 1 << 20 : Math.Min((int)(scale.Significand >> (63 - scale.Exponent)), 1 << 20);
            exponent = scale.Negative ? -exponent : exponent;
        }
        Number result = SoftFloat.Round(value.Negative, value.Exponent + exponent, (UInt128)value.Significand << 64, FloatFormat.Extended, ref control);
        // Beyond what an unmasked exception's wrapped exponent can express (Intel SDM 2A, FSCALE).
        bool over = result.Class == NumberClass.Finite && result.Exponent > FloatFormat.Extended.MaxExponent;
        bool under = result.Class == NumberClass.Finite && result.Exponent < FloatFormat.Extended.MinExponent - 63;
        if (!over && !under)
            return result;
        control.Flags |= X87Flags.Precision;
        control.RoundedUp = over;
        return over ? Number.Infinity(value.Negative) : Number.Zero(value.Negative);
    }

    /// <summary>The exponent replaces ST0, the significand (as a number from 1 to 2) is pushed.</summary>
    private static Op* Extract(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        bool empty = X87Unit.IsEmpty(c, 0);
        if (empty || !X87Unit.IsEmpty(c, -1))
        {
            bool masked = X87Unit.Underflow(c);
            if (!empty)
                c->State.X87Status |= X87Flags.C1;
            if (masked)
            {
                X87Unit.Set(c, 0, Number.Indefinite);
                X87Unit.Rotate(c, -1);
                X87Unit.Set(c, 0, Number.Indefinite);
            }
            return op + 1;
        }
        FloatControl control = X87Unit.Control(c);
        Number value = X87Unit.Get(c, 0), exponent, significand;
        if (SoftFloat.Special(value, value, ref control, out Number special))
            exponent = significand = special;
        else if (value.IsInfinity)
            (exponent, significand) = (Number.Infinity(false), value);
        else if (value.IsZero)
        {
            control.Flags |= X87Flags.ZeroDivide;
            (exponent, significand) = (Number.Infinity(true), value);
        }
        else
        {
            SoftFloat.NoteDenormal(value, value, ref control);
            (exponent, significand) = (Number.Integer(value.Exponent), Number.Finite(value.Negative, 0, value.Significand));
        }
        if (X87Unit.Report(c, control))
        {
            X87Unit.Set(c, 0, exponent);
            X87Unit.Push(c, significand);
        }
        return op + 1;
    }

    private static Op* TruncatingRemainder(VcpuContext* c, Op* op) => Remainder(c, op, nearest: false);

    private static Op* NearestRemainder(VcpuContext* c, Op* op) => Remainder(c, op, nearest: true);

    private static Op* Remainder(VcpuContext* c, Op* op, bool nearest)
    {
        if (!Two(c, op, out bool done))
        {
            if (done)
                c->State.X87Status = (ushort)(c->State.X87Status & ~X87Flags.C2);
            return done ? op + 1 : VectorState.Leave(c, op);
        }
        FloatControl control = X87Unit.Control(c);
        // Without a quotient only C2 and C1 are cleared.
        int other = c->State.X87Status & (X87Flags.C0 | X87Flags.C3);
        Number result = PartialRemainder(X87Unit.Get(c, 0), X87Unit.Get(c, 1), nearest, ref control, out int codes);
        if (X87Unit.Report(c, control))
        {
            X87Unit.Set(c, 0, result);
            X87Unit.SetConditions(c, codes == NoQuotient ? other : codes);
        }
        else
            X87Unit.SetConditions(c, other);
        return op + 1;
    }

    private const int NoQuotient = -1;

    /// <summary>Q0 goes to C1, Q1 to C3, Q2 to C0; C2 tells that the reduction is incomplete (Intel SDM 2A, FPREM).</summary>
    private static Number PartialRemainder(in Number value, in Number divisor, bool nearest, ref FloatControl control, out int codes)
    {
        codes = NoQuotient;
        if (SoftFloat.Special(value, divisor, ref control, out Number special))
            return special;
        if (value.IsInfinity || divisor.IsZero)
            return SoftFloat.Invalid(ref control);
        codes = 0;
        SoftFloat.NoteDenormal(value, divisor, ref control);
        if (value.IsZero)
            return value;
        int distance = value.Exponent - divisor.Exponent;
        // A numerator below half the divisor is its own remainder; a tiny one underflows.
        if (divisor.IsInfinity || distance < (nearest ? -1 : 0))
            return SoftFloat.Round(value.Negative, value.Exponent, (UInt128)value.Significand << 64, FloatFormat.Extended, ref control);
        bool partial = distance >= 64;
        int steps = partial ? 32 + (distance & 31) : distance;
        ulong quotient = 0;
        UInt128 remainder = value.Significand, by = divisor.Significand;
        int exponent = divisor.Exponent;
        if (steps < 0)
        {
            // Half the divisor's exponent: compare in units of the smaller number.
            by <<= 1;
            exponent--;
        }
        else
        {
            exponent = value.Exponent - steps;
            for (int i = steps; ; i--)
            {
                quotient <<= 1;
                if (remainder >= by)
                {
                    remainder -= by;
                    quotient |= 1;
                }
                if (i == 0)
                    break;
                remainder <<= 1;
            }
        }
        bool negative = value.Negative;
        if (partial)
            codes = X87Flags.C2;
        else
        {
            if (nearest && (remainder << 1 > by || (remainder << 1 == by && (quotient & 1) != 0)))
            {
                remainder = by - remainder;
                negative = !negative;
                quotient++;
            }
            codes = ((quotient & 1) != 0 ? X87Flags.C1 : 0) | ((quotient & 2) != 0 ? X87Flags.C3 : 0) | ((quotient & 4) != 0 ? X87Flags.C0 : 0);
        }
        if (remainder == 0)
            return Number.Zero(value.Negative);
        int shift = (int)UInt128.LeadingZeroCount(remainder);
        return SoftFloat.Round(negative, exponent + 64 - shift, remainder << shift, FloatFormat.Extended, ref control);
    }

    /// <summary>Whether ST0 and ST1 are there; otherwise the stack underflow is raised (done) or a fault recorded (not done).</summary>
    internal static bool Two(VcpuContext* c, Op* op, out bool done)
    {
        done = false;
        if (!X87Unit.Ready(c, op))
            return false;
        if (!X87Unit.IsEmpty(c, 0) && !X87Unit.IsEmpty(c, 1))
            return true;
        if (X87Unit.Underflow(c))
            X87Unit.Set(c, 0, Number.Indefinite);
        done = true;
        return false;
    }

    private readonly struct SquareRoot : IUnary
    {
        public static Number Apply(in Number value, FloatFormat precision, ref FloatControl control) => SoftFloat.SquareRoot(value, precision, ref control);
    }

    private readonly struct RoundToInteger : IUnary
    {
        public static Number Apply(in Number value, FloatFormat precision, ref FloatControl control)
        {
            if (SoftFloat.Special(value, value, ref control, out Number special))
                return special;
            SoftFloat.NoteDenormal(value, value, ref control);
            if (value.Class != NumberClass.Finite || value.Exponent >= 63)
                return value;
            UInt128 magnitude = SoftFloat.RoundedMagnitude(value, control.Rounding, out bool inexact, out bool up);
            control.RoundedUp = up;
            if (inexact)
                control.Flags |= X87Flags.Precision;
            if (magnitude == 0)
                return Number.Zero(value.Negative);
            int shift = BitOperations.LeadingZeroCount((ulong)magnitude);
            return Number.Finite(value.Negative, 63 - shift, (ulong)magnitude << shift);
        }
    }
}
