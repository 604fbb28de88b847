namespace Godwit.Engine.Interpreter.X87;

/// <summary>Elementary functions to about 120 bits: argument reduction, then Taylor series in 128-bit fixed point.</summary>
internal static class WideFunctions
{
    private const int AtanSteps = 16;

    /// <summary>atan(i / 16) with 128 bits after the point (half of that for the last: atan(1) is below 1 as well).</summary>
    private static readonly UInt128[] s_atan = AtanTable();

    /// <summary>
    /// Pi as x87 units know it for reducing arguments: 66 bits, in units of 2^-64 (Intel SDM 1, 8.3.8; the host's AMD
    /// processor has the same: FSIN of its FLDPI is -2^-64).
    /// </summary>
    private static readonly UInt128 s_reductionPi = WideConstants.Pi >> 62;

    /// <summary>|value| as quadrant * pi/2 + a remainder within pi/4; below 2^63.</summary>
    public static (int Quadrant, Wide Remainder) Reduce(in Number value)
    {
        if (value.Exponent < -2)
            return (0, Wide.From(value).WithSign(false));
        // In units of 2^-65 half of pi is the integer s_reductionPi, and so is the number shifted by its exponent.
        UInt128 remainder = value.Significand;
        int quadrant = 0;
        for (int i = value.Exponent + 2; i > 0; i--)
        {
            remainder <<= 1;
            quadrant = (quadrant << 1) & 3;
            if (remainder >= s_reductionPi)
            {
                remainder -= s_reductionPi;
                quadrant |= 1;
            }
        }
        if (remainder << 1 > s_reductionPi)
            return ((quadrant + 1) & 3, Wide.From(true, s_reductionPi - remainder, -65));
        return (quadrant, Wide.From(false, remainder, -65));
    }

    /// <summary>The sine of an angle within pi/4.</summary>
    public static Wide Sine(Wide angle)
    {
        UInt128 square = (angle * angle).ToFraction(), sum = Wide.FixedOne;
        for (uint k = 17; k > 0; k--)
            sum = Wide.FixedOne - Wide.MultiplyHigh(square, sum) / (2 * k * (2 * k + 1));
        return angle * Wide.FromFixed(BelowOne(sum));
    }

    /// <summary>The cosine of an angle within pi/4.</summary>
    public static Wide Cosine(Wide angle)
    {
        UInt128 square = (angle * angle).ToFraction(), sum = Wide.FixedOne;
        for (uint k = 17; k > 0; k--)
            sum = Wide.FixedOne - Wide.MultiplyHigh(square, sum) / (2 * k * (2 * k - 1));
        return Wide.FromFixed(BelowOne(sum));
    }

    /// <summary>2^value - 1 for |value| up to 1.</summary>
    public static Wide ExponentialMinusOne(Wide value)
    {
        Wide power = value * Wide.Ln2;
        UInt128 magnitude = power.ToFraction(), sum = Wide.FixedOne;
        for (uint k = 32; k > 1; k--)
        {
            UInt128 term = Wide.MultiplyHigh(magnitude, sum) / k;
            sum = power.Negative ? Wide.FixedOne - term : Wide.FixedOne + term;
        }
        return power * Wide.FromFixed(sum);
    }

    /// <summary>The binary logarithm of a positive number.</summary>
    public static Wide Log2(Wide value)
    {
        int exponent = value.Exponent;
        Wide mantissa = value with { Exponent = 0 };
        // Above the square root of 2 the logarithm is nearer to the next power of two.
        if (mantissa.Significand > new UInt128(0xb504f333f9de6484, 0))
        {
            mantissa = value with { Exponent = -1 };
            exponent++;
        }
        Wide one = Wide.Integer(1);
        return Wide.Integer(exponent) + Log2Ratio((mantissa - one) / (mantissa + one));
    }

    /// <summary>The binary logarithm of 1 + value, exact for small values too; value is above -1.</summary>
    public static Wide Log2OnePlus(Wide value) =>
        value.Exponent < -2 ? Log2Ratio(value / (Wide.Integer(2) + value)) : Log2(Wide.Integer(1) + value);

    /// <summary>log2((1 + ratio) / (1 - ratio)) = 2 atanh(ratio) / ln 2, for |ratio| up to 0.172.</summary>
    private static Wide Log2Ratio(Wide ratio)
    {
        UInt128 square = (ratio * ratio).ToFraction(), sum = 0;
        for (uint k = 27; k > 0; k--)
            sum = Wide.MultiplyHigh(square, sum) + Wide.FixedOne / (2 * k + 1);
        sum = Wide.FixedOne + Wide.MultiplyHigh(square, sum);
        Wide atanh = ratio * Wide.FromFixed(sum);
        return (atanh with { Exponent = atanh.Exponent + (atanh.IsZero ? 0 : 1) }) * Wide.Log2OfE;
    }

    /// <summary>The arc tangent of a quotient of positive numbers, from 0 to pi/2.</summary>
    public static Wide ArcTangent(Wide numerator, Wide denominator)
    {
        bool inverted = numerator.Exponent > denominator.Exponent
            || (numerator.Exponent == denominator.Exponent && numerator.Significand > denominator.Significand);
        Wide quotient = inverted ? denominator / numerator : numerator / denominator;
        Wide angle = ArcTangentWithinOne(quotient);
        return inverted ? Wide.HalfPi - angle : angle;
    }

    private static Wide ArcTangentWithinOne(Wide value)
    {
        // The nearest sixteenth c: atan(v) = atan(c) + atan((v - c) / (1 + v c)), the latter within 1/32.
        int step = value.Exponent < -6 ? 0 : value.Exponent >= 0 ? AtanSteps : (int)(value.ToFraction() >> 123) + 1 >> 1;
        if (step == 0)
            return ArcTangentSeries(value);
        Wide center = Wide.From(false, (uint)step, -4);
        Wide rest = (value - center) / (Wide.Integer(1) + value * center);
        return Wide.From(false, s_atan[step], -128) + ArcTangentSeries(rest);
    }

    private static Wide ArcTangentSeries(Wide value)
    {
        UInt128 square = (value * value).ToFraction(), sum = 0;
        for (uint k = 14; k > 0; k--)
            sum = Wide.FixedOne / (2 * k + 1) - Wide.MultiplyHigh(square, sum);
        sum = Wide.FixedOne - Wide.MultiplyHigh(square, sum);
        return value * Wide.FromFixed(BelowOne(sum));
    }

    // A series that rounds to 1 is still a little less: directed rounding must see it.
    private static UInt128 BelowOne(UInt128 sum) => sum == Wide.FixedOne ? sum - 1 : sum;

    private static UInt128[] AtanTable()
    {
        // Euler's series: atan x = sum of 2^2n (n!)^2 / (2n+1)! * x^(2n+1) / (1+x^2)^(n+1), x = i/16.
        var table = new UInt128[AtanSteps + 1];
        for (uint i = 1; i <= AtanSteps; i++)
        {
            uint hypotenuse = 256 + i * i;
            UInt128 term = UInt128.MaxValue / hypotenuse * (16 * i);
            for (uint n = 0; term > ushort.MaxValue; n++)
            {
                table[i] += term;
                term = term / ((2 * n + 3) * hypotenuse) * (2 * (n + 1) * i * i);
            }
        }
        return table;
    }
}
