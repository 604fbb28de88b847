using System.Numerics;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>Relation of two numbers.</summary>
internal enum Relation : byte
{
    Less,
    Equal,
    Greater,
    Unordered,
}

/// <summary>
/// Exact floating-point arithmetic by integers, for every format, rounding mode and mask: the reference that x87 always
/// and SSE in its rarer cases use. Exceptions are collected in the control's flags; tininess is detected after rounding.
/// </summary>
internal static class SoftFloat
{
    public static Number Add(in Number left, in Number right, FloatFormat format, ref FloatControl control)
    {
        if (Special(left, right, ref control, out Number special))
            return special;
        if (left.IsInfinity && right.IsInfinity && left.Negative != right.Negative)
            return Invalid(ref control);
        NoteDenormal(left, right, ref control);
        if (left.IsInfinity || right.IsInfinity)
            return left.IsInfinity ? left : right;
        if (left.IsZero && right.IsZero)
            return Number.Zero(left.Negative == right.Negative ? left.Negative : control.Rounding == Rounding.Down);
        if (left.IsZero || right.IsZero)
        {
            Number only = left.IsZero ? right : left;
            return Round(only.Negative, only.Exponent, (UInt128)only.Significand << 64, format, ref control);
        }

        bool swap = left.Exponent < right.Exponent;
        Number big = swap ? right : left, small = swap ? left : right;
        UInt128 x = (UInt128)big.Significand << 63;
        UInt128 y = ShiftRightJam((UInt128)small.Significand << 63, big.Exponent - small.Exponent);
        bool negative = big.Negative;
        UInt128 sum;
        if (big.Negative == small.Negative)
            sum = x + y;
        else if (x == y)
            return Number.Zero(control.Rounding == Rounding.Down);
        else if (x > y)
            sum = x - y;
        else
        {
            sum = y - x;
            negative = !negative;
        }
        int shift = (int)UInt128.LeadingZeroCount(sum);
        return Round(negative, big.Exponent + 1 - shift, sum << shift, format, ref control);
    }

    public static Number Subtract(in Number left, in Number right, FloatFormat format, ref FloatControl control) =>
        Add(left, right.IsNaN ? right : right.Negated(), format, ref control);

    public static Number Multiply(in Number left, in Number right, FloatFormat format, ref FloatControl control)
    {
        if (Special(left, right, ref control, out Number special))
            return special;
        bool negative = left.Negative != right.Negative;
        if ((left.IsInfinity && right.IsZero) || (left.IsZero && right.IsInfinity))
            return Invalid(ref control);
        NoteDenormal(left, right, ref control);
        if (left.IsInfinity || right.IsInfinity)
            return Number.Infinity(negative);
        if (left.IsZero || right.IsZero)
            return Number.Zero(negative);
        ulong high = Math.BigMul(left.Significand, right.Significand, out ulong low);
        var product = new UInt128(high, low);
        int shift = (int)UInt128.LeadingZeroCount(product);
        return Round(negative, left.Exponent + right.Exponent + 1 - shift, product << shift, format, ref control);
    }

    /// <summary>left * right + addend, rounded once; for the single and double formats, whose products leave bits to spare.</summary>
    public static Number MultiplyAdd(in Number left, in Number right, in Number addend, FloatFormat format, ref FloatControl control)
    {
        bool invalidProduct = (left.IsInfinity && right.IsZero) || (left.IsZero && right.IsInfinity);
        if (left.IsNaN || right.IsNaN || addend.IsNaN)
        {
            if (left.Class == NumberClass.SignalingNaN || right.Class == NumberClass.SignalingNaN || addend.Class == NumberClass.SignalingNaN)
                control.Flags |= X87Flags.Invalid;
            return (left.IsNaN ? left : right.IsNaN ? right : addend).Quieted();
        }
        bool negative = left.Negative != right.Negative;
        bool infinite = left.IsInfinity || right.IsInfinity;
        if (invalidProduct || (infinite && addend.IsInfinity && negative != addend.Negative))
            return Invalid(ref control);
        NoteDenormal(left, right, ref control);
        NoteDenormal(addend, addend, ref control);
        if (infinite || addend.IsInfinity)
            return infinite ? Number.Infinity(negative) : addend;
        if (left.IsZero || right.IsZero)
        {
            if (addend.IsZero)
                return Number.Zero(negative == addend.Negative ? negative : control.Rounding == Rounding.Down);
            return Round(addend.Negative, addend.Exponent, (UInt128)addend.Significand << 64, format, ref control);
        }
        ulong high = Math.BigMul(left.Significand, right.Significand, out ulong low);
        var product = new UInt128(high, low);
        int exponent = left.Exponent + right.Exponent;
        if (addend.IsZero)
        {
            int normal = (int)UInt128.LeadingZeroCount(product);
            return Round(negative, exponent + 1 - normal, product << normal, format, ref control);
        }

        // Both as x * 2^(exponent - 125) with a bit for the carry; the lowest bits of each are clear, so that nothing is
        // lost where high bits can cancel.
        UInt128 x = product >> 1, y = (UInt128)addend.Significand << 62;
        int apart = exponent - addend.Exponent;
        if (apart >= 0)
            y = ShiftRightJam(y, apart);
        else
        {
            x = ShiftRightJam(x, -apart);
            exponent = addend.Exponent;
        }
        UInt128 sum;
        if (negative == addend.Negative)
            sum = x + y;
        else if (x == y)
            return Number.Zero(control.Rounding == Rounding.Down);
        else if (x > y)
            sum = x - y;
        else
        {
            sum = y - x;
            negative = addend.Negative;
        }
        int shift = (int)UInt128.LeadingZeroCount(sum);
        return Round(negative, exponent + 2 - shift, sum << shift, format, ref control);
    }

    public static Number Divide(in Number left, in Number right, FloatFormat format, ref FloatControl control)
    {
        if (Special(left, right, ref control, out Number special))
            return special;
        bool negative = left.Negative != right.Negative;
        if ((left.IsInfinity && right.IsInfinity) || (left.IsZero && right.IsZero))
            return Invalid(ref control);
        if (right.IsZero && !left.IsInfinity)
        {
            // A denormal dividend goes unreported here, as the host's processor has it.
            control.Flags |= X87Flags.ZeroDivide;
            return Number.Infinity(negative);
        }
        NoteDenormal(left, right, ref control);
        if (left.IsInfinity)
            return Number.Infinity(negative);
        if (left.IsZero || right.IsInfinity)
            return Number.Zero(negative);
        bool below = left.Significand < right.Significand;
        (ulong quotient, ulong remainder) = Quotient((UInt128)left.Significand << (below ? 64 : 63), right.Significand);
        return Round(negative, left.Exponent - right.Exponent - (below ? 1 : 0), new UInt128(quotient, Tail(remainder, right.Significand)), format, ref control);
    }

    public static Number SquareRoot(in Number value, FloatFormat format, ref FloatControl control)
    {
        if (Special(value, value, ref control, out Number special))
            return special;
        if (value.IsZero)
            return value;
        if (value.Negative)
            return Invalid(ref control);
        NoteDenormal(value, value, ref control);
        if (value.IsInfinity)
            return value;
        bool odd = (value.Exponent & 1) != 0;
        UInt128 radicand = (UInt128)value.Significand << (odd ? 64 : 63);
        ulong root = IntegerSquareRoot(radicand);
        UInt128 remainder = radicand - Square(root);
        // (root + 1/2)^2 = root^2 + root + 1/4: more than half an ulp is left where the remainder exceeds the root.
        ulong tail = remainder == 0 ? 0 : remainder > root ? 0xc000000000000000 : 0x4000000000000000;
        return Round(false, (value.Exponent - (odd ? 1 : 0)) / 2, new UInt128(root, tail), format, ref control);
    }

    /// <summary>Rounds a number to a (usually narrower) format.</summary>
    public static Number Convert(in Number value, FloatFormat format, ref FloatControl control)
    {
        if (Special(value, value, ref control, out Number special))
            return special;
        NoteDenormal(value, value, ref control);
        return value.Class == NumberClass.Finite
            ? Round(value.Negative, value.Exponent, (UInt128)value.Significand << 64, format, ref control)
            : value;
    }

    /// <summary>How two numbers compare. NaNs raise invalid when they signal, or where <paramref name="quietSignals"/>.</summary>
    public static Relation Compare(in Number left, in Number right, bool quietSignals, ref FloatControl control)
    {
        if (left.Class == NumberClass.Unsupported || right.Class == NumberClass.Unsupported)
        {
            control.Flags |= X87Flags.Invalid;
            return Relation.Unordered;
        }
        if (left.IsNaN || right.IsNaN)
        {
            if (quietSignals || left.Class == NumberClass.SignalingNaN || right.Class == NumberClass.SignalingNaN)
                control.Flags |= X87Flags.Invalid;
            return Relation.Unordered;
        }
        NoteDenormal(left, right, ref control);
        if (left.IsZero && right.IsZero)
            return Relation.Equal;
        if (left.IsZero || (left.Negative != right.Negative && !right.IsZero))
            return (left.IsZero ? !right.Negative : left.Negative) ? Relation.Less : Relation.Greater;
        if (right.IsZero)
            return left.Negative ? Relation.Less : Relation.Greater;
        int magnitude = CompareMagnitudes(left, right);
        if (magnitude == 0)
            return Relation.Equal;
        return (magnitude < 0) != left.Negative ? Relation.Less : Relation.Greater;
    }

    /// <summary>-1, 0 or 1 as |left| is less than, equal to or greater than |right|; neither zero nor NaN.</summary>
    public static int CompareMagnitudes(in Number left, in Number right)
    {
        if (left.IsInfinity || right.IsInfinity)
            return left.IsInfinity.CompareTo(right.IsInfinity);
        int byExponent = left.Exponent.CompareTo(right.Exponent);
        return byExponent != 0 ? byExponent : left.Significand.CompareTo(right.Significand);
    }

    /// <summary>
    /// Rounds to a signed integer of 16, 32 or 64 bits. Out of range, NaN or infinity: invalid, and the integer
    /// indefinite (only the highest bit set).
    /// </summary>
    public static long ToInteger(in Number value, int bits, Rounding rounding, ref FloatControl control)
    {
        long indefinite = long.MinValue >> (64 - bits);
        if (value.IsZero)
            return 0;
        if (value.Class != NumberClass.Finite || value.Exponent > 63)
        {
            control.Flags |= X87Flags.Invalid;
            return indefinite;
        }
        UInt128 magnitude = RoundedMagnitude(value, rounding, out bool inexact, out bool up);
        UInt128 limit = UInt128.One << (bits - 1);
        if (magnitude > limit || (magnitude == limit && !value.Negative))
        {
            control.Flags |= X87Flags.Invalid;
            return indefinite;
        }
        if (inexact)
            control.Flags |= X87Flags.Precision;
        control.RoundedUp = up;
        return value.Negative ? -(long)(ulong)magnitude : (long)(ulong)magnitude;
    }

    /// <summary>The magnitude of a finite number below 2^64 rounded to an integer.</summary>
    public static UInt128 RoundedMagnitude(in Number value, Rounding rounding, out bool inexact, out bool up)
    {
        // 64 bits of integer above 64 of fraction.
        UInt128 fixedPoint = ShiftRightJam((UInt128)value.Significand << 64, 63 - value.Exponent);
        UInt128 magnitude = fixedPoint >> 64;
        ulong fraction = (ulong)fixedPoint;
        inexact = fraction != 0;
        up = inexact && rounding switch
        {
            Rounding.Nearest => fraction > Number.IntegerBit || (fraction == Number.IntegerBit && ((ulong)magnitude & 1) != 0),
            Rounding.Down => value.Negative,
            Rounding.Up => !value.Negative,
            _ => false,
        };
        return up ? magnitude + 1 : magnitude;
    }

    /// <summary>
    /// Rounds (-1)^negative * significand * 2^(exponent - 127), bit 127 of the significand set, to a format and raises
    /// overflow, underflow and precision.
    /// </summary>
    public static Number Round(bool negative, int exponent, UInt128 significand, FloatFormat format, ref FloatControl control)
    {
        int drop = 128 - format.Precision;
        bool up = RoundsUp(negative, significand, drop, control.Rounding, out bool inexact, out UInt128 mask);
        bool tiny = exponent < format.MinExponent && !(exponent == format.MinExponent - 1 && up && (significand | mask) == UInt128.MaxValue);
        if (tiny && control.Masked(X87Flags.Underflow))
        {
            if (control.FlushToZero)
            {
                control.Flags |= X87Flags.Underflow | X87Flags.Precision;
                return Number.Zero(negative);
            }
            significand = ShiftRightJam(significand, format.MinExponent - exponent);
            exponent = format.MinExponent;
            up = RoundsUp(negative, significand, drop, control.Rounding, out inexact, out mask);
            if (inexact)
                control.Flags |= X87Flags.Underflow;
        }
        else if (tiny)
        {
            control.Flags |= X87Flags.Underflow;
            exponent += FloatFormat.WrapBias;
        }

        significand &= ~mask;
        if (up)
        {
            significand += mask + 1;
            if (significand == 0)
            {
                significand = UInt128.One << 127;
                exponent++;
            }
        }
        control.RoundedUp = up;
        if (inexact)
            control.Flags |= X87Flags.Precision;
        // An exponent that unmasked underflow has wrapped may look like an overflow in the narrow formats.
        if (exponent > format.MaxExponent && !tiny)
            return Overflowed(negative, exponent, significand, mask, format, ref control);
        if (significand == 0)
            return Number.Zero(negative);
        int shift = (int)UInt128.LeadingZeroCount(significand);
        return Number.Finite(negative, exponent - shift, (ulong)((significand << shift) >> 64));
    }

    /// <summary>Raises invalid and gives the indefinite.</summary>
    public static Number Invalid(ref FloatControl control)
    {
        control.Flags |= X87Flags.Invalid;
        return Number.Indefinite;
    }

    public static void NoteDenormal(in Number left, in Number right, ref FloatControl control)
    {
        if (left.Denormal || right.Denormal)
            control.Flags |= X87Flags.Denormal;
    }

    /// <summary>Where an operand is a NaN or unsupported: the result, with invalid raised where it must be.</summary>
    public static bool Special(in Number left, in Number right, ref FloatControl control, out Number result)
    {
        result = default;
        if (left.Class < NumberClass.QuietNaN && right.Class < NumberClass.QuietNaN)
            return false;
        if (left.Class == NumberClass.Unsupported || right.Class == NumberClass.Unsupported)
        {
            result = Invalid(ref control);
            return true;
        }
        if (left.Class == NumberClass.SignalingNaN || right.Class == NumberClass.SignalingNaN)
            control.Flags |= X87Flags.Invalid;
        result = (control.X87 ? LargerNaN(left, right) : left.IsNaN ? left : right).Quieted();
        return true;
    }

    /// <summary>Shifts right; bits lost are or-ed into the lowest.</summary>
    public static UInt128 ShiftRightJam(UInt128 value, int count)
    {
        if (count <= 0)
            return value;
        if (count >= 128)
            return value != 0 ? UInt128.One : UInt128.Zero;
        UInt128 shifted = value >> count;
        return (shifted << count) == value ? shifted : shifted | UInt128.One;
    }

    /// <summary>The quotient and remainder of a 128-bit dividend whose quotient fits 64 bits.</summary>
    public static (ulong Quotient, ulong Remainder) Quotient(UInt128 dividend, ulong divisor)
    {
        UInt128 quotient = dividend / divisor;
        return ((ulong)quotient, (ulong)(dividend - quotient * divisor));
    }

    /// <summary>The 64 bits after a quotient as rounding needs them: none, less than half, half, more.</summary>
    private static ulong Tail(ulong remainder, ulong divisor)
    {
        if (remainder == 0)
            return 0;
        UInt128 twice = (UInt128)remainder << 1;
        return twice < divisor ? 0x4000000000000000 : twice == divisor ? Number.IntegerBit : 0xc000000000000000;
    }

    private static bool RoundsUp(bool negative, UInt128 significand, int drop, Rounding rounding, out bool inexact, out UInt128 mask)
    {
        mask = (UInt128.One << drop) - 1;
        UInt128 lost = significand & mask;
        inexact = lost != 0;
        if (!inexact)
            return false;
        UInt128 half = UInt128.One << (drop - 1);
        return rounding switch
        {
            Rounding.Nearest => lost > half || (lost == half && (significand & (mask + 1)) != 0),
            Rounding.Down => negative,
            Rounding.Up => !negative,
            _ => false,
        };
    }

    private static Number Overflowed(bool negative, int exponent, UInt128 significand, UInt128 mask, FloatFormat format, ref FloatControl control)
    {
        control.Flags |= X87Flags.Overflow;
        if (!control.Masked(X87Flags.Overflow))
            return Number.Finite(negative, exponent - FloatFormat.WrapBias, (ulong)(significand >> 64));
        control.Flags |= X87Flags.Precision;
        bool infinite = control.Rounding switch
        {
            Rounding.Nearest => true,
            Rounding.Down => negative,
            Rounding.Up => !negative,
            _ => false,
        };
        control.RoundedUp = infinite;
        return infinite ? Number.Infinity(negative) : Number.Finite(negative, format.MaxExponent, (ulong)(~mask >> 64));
    }

    // Intel SDM 1, table 4-7: a quiet NaN wins over a signaling one, otherwise the larger significand, then the positive.
    private static Number LargerNaN(in Number left, in Number right)
    {
        if (!left.IsNaN || !right.IsNaN)
            return left.IsNaN ? left : right;
        if (left.Class != right.Class)
            return left.Class == NumberClass.QuietNaN ? left : right;
        if (left.Significand != right.Significand)
            return left.Significand > right.Significand ? left : right;
        return left.Negative ? right : left;
    }

    private static UInt128 Square(ulong value)
    {
        ulong high = Math.BigMul(value, value, out ulong low);
        return new UInt128(high, low);
    }

    /// <summary>The floor of the square root of a number of at least 2^126.</summary>
    private static ulong IntegerSquareRoot(UInt128 value)
    {
        // A double's estimate is right to 50 bits; one Newton step makes it right to the last bit or one off.
        double estimate = Math.Sqrt((double)(ulong)(value >> 64)) * 4294967296.0;
        ulong root = estimate >= 18446744073709549568.0 ? 18446744073709549568 : (ulong)estimate;
        UInt128 better = (root + value / root) >> 1;
        root = better > ulong.MaxValue ? ulong.MaxValue : (ulong)better;
        while (Square(root) > value)
            root--;
        while (root != ulong.MaxValue && Square(root + 1) <= value)
            root++;
        return root;
    }
}
