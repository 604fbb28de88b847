namespace Godwit.Engine.Interpreter.X87;

/// <summary>
/// A number with a 128-bit significand, for transcendental functions: (-1)^Negative * Significand * 2^(Exponent - 127),
/// bit 127 set, or zero. Operations truncate: errors stay near 2^-126, far below the 64 bits that results keep.
/// </summary>
internal readonly record struct Wide(bool Negative, int Exponent, UInt128 Significand)
{
    public static readonly Wide Pi = new(false, 1, WideConstants.Pi);
    public static readonly Wide HalfPi = new(false, 0, WideConstants.Pi);
    public static readonly Wide Ln2 = new(false, -1, WideConstants.Ln2);
    public static readonly Wide Log2OfE = new(false, 0, WideConstants.Log2OfE);

    /// <summary>1 in the fixed-point format of <see cref="MultiplyHigh"/> chains: one integer bit, 127 of fraction.</summary>
    public static readonly UInt128 FixedOne = UInt128.One << 127;

    public bool IsZero => Significand == 0;

    public static Wide From(in Number number) => number.IsZero ? default : new(number.Negative, number.Exponent, (UInt128)number.Significand << 64);

    /// <summary>From a magnitude times 2^<paramref name="scale"/>.</summary>
    public static Wide From(bool negative, UInt128 magnitude, int scale)
    {
        if (magnitude == 0)
            return default;
        int shift = (int)UInt128.LeadingZeroCount(magnitude);
        return new(negative, scale + 127 - shift, magnitude << shift);
    }

    /// <summary>A fixed-point fraction (127 bits after the point).</summary>
    public static Wide FromFixed(UInt128 value) => From(false, value, -127);

    public static Wide Integer(int value) => From(value < 0, (uint)Math.Abs(value), 0);

    public Wide WithSign(bool negative) => this with { Negative = negative };

    /// <summary>The magnitude with 128 bits after the point; it must be below 1.</summary>
    public UInt128 ToFraction() => Exponent < -128 ? 0 : Significand >> (-1 - Exponent);

    /// <summary>The upper 128 bits of a product.</summary>
    public static UInt128 MultiplyHigh(UInt128 left, UInt128 right)
    {
        (ulong a, ulong b) = ((ulong)(left >> 64), (ulong)left);
        (ulong c, ulong d) = ((ulong)(right >> 64), (ulong)right);
        UInt128 high = Product(a, c), crossed = Product(a, d), other = Product(b, c);
        UInt128 middle = (Product(b, d) >> 64) + (ulong)crossed + (ulong)other;
        return high + (crossed >> 64) + (other >> 64) + (middle >> 64);
    }

    public static Wide operator *(Wide left, Wide right)
    {
        if (left.IsZero || right.IsZero)
            return default;
        UInt128 product = MultiplyHigh(left.Significand, right.Significand);
        int shift = (int)UInt128.LeadingZeroCount(product);
        return new(left.Negative != right.Negative, left.Exponent + right.Exponent + 1 - shift, product << shift);
    }

    public static Wide operator /(Wide left, Wide right)
    {
        if (left.IsZero)
            return default;
        // One quotient bit a step; the first is the integer bit.
        UInt128 remainder = left.Significand, quotient = 0;
        int exponent = left.Exponent - right.Exponent;
        bool carry = false;
        if (remainder < right.Significand)
        {
            carry = (remainder >> 127) != 0;
            remainder <<= 1;
            exponent--;
        }
        for (int i = 0; i < 128; i++)
        {
            quotient <<= 1;
            if (carry || remainder >= right.Significand)
            {
                remainder -= right.Significand;
                quotient |= 1;
            }
            carry = (remainder >> 127) != 0;
            remainder <<= 1;
        }
        return new(left.Negative != right.Negative, exponent, quotient);
    }

    public static Wide operator +(Wide left, Wide right)
    {
        if (left.IsZero || right.IsZero)
            return left.IsZero ? right : left;
        (Wide big, Wide small) = left.Exponent > right.Exponent || (left.Exponent == right.Exponent && left.Significand >= right.Significand)
            ? (left, right) : (right, left);
        int distance = big.Exponent - small.Exponent;
        // One bit is given up for the carry.
        UInt128 x = big.Significand >> 1, y = distance > 126 ? 0 : small.Significand >> (distance + 1);
        return From(big.Negative, big.Negative == small.Negative ? x + y : x - y, big.Exponent - 126);
    }

    public static Wide operator -(Wide left, Wide right) => left + right.WithSign(!right.Negative);

    /// <summary>The number rounded as an inexact result in the extended format.</summary>
    public Number Round(ref FloatControl control)
    {
        if (IsZero)
            return Number.Zero(Negative);
        return SoftFloat.Round(Negative, Exponent, Significand | 1, FloatFormat.Extended, ref control);
    }

    private static UInt128 Product(ulong left, ulong right)
    {
        ulong high = Math.BigMul(left, right, out ulong low);
        return new UInt128(high, low);
    }
}
