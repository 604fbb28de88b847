using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>F2XM1, FYL2X, FYL2XP1, FSIN, FCOS, FSINCOS, FPTAN, FPATAN; results are always extended, whatever the precision control says.</summary>
internal static unsafe class X87Transcendental
{
    public static readonly Row[] Rows =
    [
        X87Functions.Unary<Exponential>(Mnemonic.F2xm1),
        Binary<Logarithm>(Mnemonic.Fyl2x),
        Binary<LogarithmOnePlus>(Mnemonic.Fyl2xp1),
        Binary<ArcTangent>(Mnemonic.Fpatan),
        Trigonometric(Mnemonic.Fsin, Sines),
        Trigonometric(Mnemonic.Fcos, Cosines),
        Trigonometric(Mnemonic.Fsincos, Sines | Cosines),
        Trigonometric(Mnemonic.Fptan, Tangents),
    ];

    private const uint Sines = 1, Cosines = 2, Tangents = 4;

    /// <summary>A function of ST1 and ST0 that pops ST0 and replaces what was ST1.</summary>
    private interface IBinary
    {
        static abstract Number Apply(in Number second, in Number top, ref FloatControl control);
    }

    private static Row Binary<TFunction>(Mnemonic mnemonic)
        where TFunction : struct, IBinary => new(mnemonic, (in Instruction instruction, ref Op op) => new Handler(&Combine<TFunction>));

    private static Op* Combine<TFunction>(VcpuContext* c, Op* op)
        where TFunction : struct, IBinary
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        Number result = Number.Indefinite;
        bool deliver;
        if (X87Unit.IsEmpty(c, 0) || X87Unit.IsEmpty(c, 1))
            deliver = X87Unit.Underflow(c);
        else
        {
            FloatControl control = X87Unit.Control(c);
            result = TFunction.Apply(X87Unit.Get(c, 1), X87Unit.Get(c, 0), ref control);
            deliver = X87Unit.Report(c, control);
        }
        if (deliver)
        {
            X87Unit.Set(c, 1, result);
            X87Unit.Pop(c);
        }
        return op + 1;
    }

    private static Row Trigonometric(Mnemonic mnemonic, uint functions) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        op.Extra = functions;
        return new Handler(&Circular);
    });

    private static Op* Circular(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        bool pushes = op->Extra is not (Sines or Cosines);
        c->State.X87Status = (ushort)(c->State.X87Status & ~X87Flags.C2);
        bool empty = X87Unit.IsEmpty(c, 0);
        if (empty || (pushes && !X87Unit.IsEmpty(c, -1)))
        {
            bool masked = X87Unit.Underflow(c);
            if (!empty)
                c->State.X87Status |= X87Flags.C1;
            if (masked)
                Deliver(c, pushes, Number.Indefinite, Number.Indefinite);
            return op + 1;
        }
        FloatControl control = X87Unit.Control(c);
        Number value = X87Unit.Get(c, 0);
        if (value.Class == NumberClass.Finite && value.Exponent >= 63)
        {
            // Out of range: the program is to reduce the argument itself.
            X87Unit.ClearC1(c);
            c->State.X87Status |= X87Flags.C2;
            return op + 1;
        }
        (Number first, Number second) = Evaluate(value, op->Extra, ref control);
        if (X87Unit.Report(c, control))
            Deliver(c, pushes, first, second);
        return op + 1;
    }

    private static void Deliver(VcpuContext* c, bool pushes, in Number first, in Number second)
    {
        X87Unit.Set(c, 0, first);
        if (!pushes)
            return;
        X87Unit.Rotate(c, -1);
        X87Unit.Set(c, 0, second);
    }

    /// <summary>What replaces ST0, and what is pushed (FSINCOS: the cosine, FPTAN: 1).</summary>
    private static (Number First, Number Second) Evaluate(in Number value, uint functions, ref FloatControl control)
    {
        if (SoftFloat.Special(value, value, ref control, out Number special))
            return (special, special);
        if (value.IsInfinity)
            return (SoftFloat.Invalid(ref control), Number.Indefinite);
        Number one = Number.Integer(1);
        if (value.IsZero)
            return (functions == Cosines ? one : value, one);
        SoftFloat.NoteDenormal(value, value, ref control);
        (int quadrant, Wide angle) = WideFunctions.Reduce(value);
        if (functions == Tangents)
        {
            Wide sine = WideFunctions.Sine(angle), cosine = WideFunctions.Cosine(angle);
            Wide tangent = (quadrant & 1) == 0 ? sine / cosine : (cosine / sine).WithSign(!sine.Negative);
            return (tangent.WithSign(tangent.Negative != value.Negative).Round(ref control), one);
        }
        // The cosine is the sine a quarter turn on, and does not know the argument's sign.
        Number cos = default, sin = default;
        if ((functions & Cosines) != 0)
            cos = SineAt(quadrant + 1, angle, negate: false).Round(ref control);
        if ((functions & Sines) != 0)
            sin = SineAt(quadrant, angle, value.Negative).Round(ref control);
        return functions == Cosines ? (cos, cos) : (sin, cos);
    }

    private static Wide SineAt(int quadrant, Wide angle, bool negate)
    {
        Wide result = (quadrant & 1) == 0 ? WideFunctions.Sine(angle) : WideFunctions.Cosine(angle);
        return result.WithSign(result.Negative != ((quadrant & 2) != 0) != negate);
    }

    private readonly struct Exponential : X87Functions.IUnary
    {
        public static Number Apply(in Number value, FloatFormat precision, ref FloatControl control)
        {
            if (SoftFloat.Special(value, value, ref control, out Number special))
                return special;
            if (value.IsInfinity)
                return value.Negative ? Number.Integer(-1) : value;
            if (value.IsZero)
                return value;
            SoftFloat.NoteDenormal(value, value, ref control);
            // Outside of [-1, 1] the result is undefined; the host's processor returns the operand and calls all inexact.
            if (value.Exponent >= 0)
                control.Flags |= X87Flags.Precision;
            if (value.Exponent > 0 || (value.Exponent == 0 && value.Significand != Number.IntegerBit))
                return value;
            if (value.Exponent == 0)
                return value.Negative ? Number.Finite(true, -1, Number.IntegerBit) : value;
            return WideFunctions.ExponentialMinusOne(Wide.From(value)).Round(ref control);
        }
    }

    private readonly struct Logarithm : IBinary
    {
        public static Number Apply(in Number second, in Number top, ref FloatControl control)
        {
            if (SoftFloat.Special(second, top, ref control, out Number special))
                return special;
            if (top.Negative && !top.IsZero)
                return SoftFloat.Invalid(ref control);
            if (top.IsZero)
                return OfZero(second, ref control);
            bool isOne = top.Class == NumberClass.Finite && top.Exponent == 0 && top.Significand == Number.IntegerBit;
            bool below = top.Class == NumberClass.Finite && top.Exponent < 0;
            if ((isOne && second.IsInfinity) || (top.IsInfinity && second.IsZero))
                return SoftFloat.Invalid(ref control);
            SoftFloat.NoteDenormal(second, top, ref control);
            if (second.IsInfinity || top.IsInfinity)
                return Number.Infinity(second.Negative != below);
            if (second.IsZero || isOne)
                return Number.Zero(second.Negative != below);
            Wide logarithm = WideFunctions.Log2(Wide.From(top));
            // Powers of two have integer logarithms: such a product may be exact, though it is not called so.
            control.Flags |= X87Flags.Precision;
            if (top.Significand == Number.IntegerBit)
                return SoftFloat.Multiply(Number.Integer(top.Exponent), second, FloatFormat.Extended, ref control);
            return (logarithm * Wide.From(second)).Round(ref control);
        }

        private static Number OfZero(in Number second, ref FloatControl control)
        {
            if (second.IsZero)
                return SoftFloat.Invalid(ref control);
            if (second.IsInfinity)
                return Number.Infinity(!second.Negative);
            control.Flags |= X87Flags.ZeroDivide;
            return Number.Infinity(!second.Negative);
        }
    }

    private readonly struct LogarithmOnePlus : IBinary
    {
        public static Number Apply(in Number second, in Number top, ref FloatControl control)
        {
            if (SoftFloat.Special(second, top, ref control, out Number special))
                return special;
            if ((top.IsInfinity && top.Negative) || (top.IsZero && second.IsInfinity) || (top.IsInfinity && second.IsZero))
                return SoftFloat.Invalid(ref control);
            SoftFloat.NoteDenormal(second, top, ref control);
            bool negative = second.Negative != top.Negative;
            if (second.IsInfinity || top.IsInfinity)
                return Number.Infinity(negative);
            if (second.IsZero || top.IsZero)
                return Number.Zero(negative);
            // Undefined by the manual; the host's processor hands ST0 on.
            if (top.Negative && top.Exponent >= 0)
            {
                control.Flags |= X87Flags.Precision;
                return top;
            }
            return (WideFunctions.Log2OnePlus(Wide.From(top)) * Wide.From(second)).Round(ref control);
        }
    }

    /// <summary>The angle of the point (ST0, ST1), from -pi to pi.</summary>
    private readonly struct ArcTangent : IBinary
    {
        public static Number Apply(in Number second, in Number top, ref FloatControl control)
        {
            if (SoftFloat.Special(second, top, ref control, out Number special))
                return special;
            SoftFloat.NoteDenormal(second, top, ref control);
            return Angle(second, top, ref control);
        }

        private static Number Angle(in Number y, in Number x, ref FloatControl control)
        {
            if (y.IsZero || (x.IsInfinity && !y.IsInfinity))
                return x.Negative ? Wide.Pi.WithSign(y.Negative).Round(ref control) : Number.Zero(y.Negative);
            if (y.IsInfinity && x.IsInfinity)
            {
                // A quarter of pi, or three.
                Wide quarter = Wide.Pi with { Exponent = -1 };
                return (x.Negative ? Wide.Pi - quarter : quarter).WithSign(y.Negative).Round(ref control);
            }
            if (x.IsZero || y.IsInfinity)
                return Wide.HalfPi.WithSign(y.Negative).Round(ref control);
            Wide angle = WideFunctions.ArcTangent(Wide.From(y).WithSign(false), Wide.From(x).WithSign(false));
            return (x.Negative ? Wide.Pi - angle : angle).WithSign(y.Negative).Round(ref control);
        }
    }
}
