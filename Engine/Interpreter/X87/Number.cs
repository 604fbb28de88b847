using System.Numerics;

namespace Godwit.Engine.Interpreter.X87;

internal enum NumberClass : byte
{
    Zero,
    Finite,
    Infinity,
    QuietNaN,
    SignalingNaN,

    /// <summary>An 80-bit encoding that the processor refuses: unnormals, pseudo-infinities and pseudo-NaNs.</summary>
    Unsupported,
}

/// <summary>
/// A floating-point number of any format, unpacked. Finite: (-1)^Negative * Significand * 2^(Exponent - 63) with bit 63
/// of the significand set, denormals included. NaNs keep their payload as the 80-bit format has it.
/// </summary>
internal struct Number
{
    public const ulong IntegerBit = 1ul << 63, QuietBit = 1ul << 62;

    public ulong Significand;
    public int Exponent;
    public bool Negative;
    public NumberClass Class;

    /// <summary>It was encoded as a denormal (a pseudo-denormal included).</summary>
    public bool Denormal;

    public readonly bool IsNaN => Class is NumberClass.QuietNaN or NumberClass.SignalingNaN;

    public readonly bool IsZero => Class == NumberClass.Zero;

    public readonly bool IsInfinity => Class == NumberClass.Infinity;

    /// <summary>The "real indefinite" that a masked invalid operation gives (Intel SDM 1, 4.8.3.7).</summary>
    public static Number Indefinite => new() { Class = NumberClass.QuietNaN, Negative = true, Significand = IntegerBit | QuietBit };

    public static Number Zero(bool negative) => new() { Class = NumberClass.Zero, Negative = negative };

    public static Number Infinity(bool negative) => new() { Class = NumberClass.Infinity, Negative = negative, Significand = IntegerBit };

    public static Number Finite(bool negative, int exponent, ulong significand) =>
        new() { Class = NumberClass.Finite, Negative = negative, Exponent = exponent, Significand = significand };

    /// <summary>An integer, exactly.</summary>
    public static Number Integer(long value)
    {
        if (value == 0)
            return default;
        ulong magnitude = value < 0 ? 0 - (ulong)value : (ulong)value;
        int shift = BitOperations.LeadingZeroCount(magnitude);
        return Finite(value < 0, 63 - shift, magnitude << shift);
    }

    /// <summary>The NaN made quiet.</summary>
    public readonly Number Quieted() => this with { Class = NumberClass.QuietNaN, Significand = Significand | QuietBit };

    public readonly Number Negated() => this with { Negative = !Negative };

    public static Number FromHalf(ushort bits) =>
        Unpack((bits >> 15) != 0, bits >> 10 & 0x1f, 0x1f, 15, (ulong)bits << 54 >> 1);

    public static Number FromSingle(uint bits) =>
        Unpack((bits >> 31) != 0, (int)(bits >> 23) & 0xff, 0xff, 127, (ulong)bits << 41 >> 1);

    public static Number FromDouble(ulong bits) =>
        Unpack((bits >> 63) != 0, (int)(bits >> 52) & 0x7ff, 0x7ff, 1023, bits << 12 >> 1);

    /// <summary>From the 80-bit format: the significand with its explicit integer bit, then sign and biased exponent.</summary>
    public static Number FromExtended(ulong significand, ushort signExponent)
    {
        int biased = signExponent & 0x7fff;
        var number = new Number { Negative = (signExponent & 0x8000) != 0, Significand = significand, Exponent = biased - 16383, Class = NumberClass.Finite };
        if (biased == 0)
        {
            if (significand == 0)
                return Zero(number.Negative);
            int shift = BitOperations.LeadingZeroCount(significand);
            number.Significand <<= shift;
            number.Exponent = -16382 - shift;
            number.Denormal = true;
            return number;
        }
        if ((significand & IntegerBit) == 0)
            number.Class = NumberClass.Unsupported;
        else if (biased == 0x7fff)
            number.Class = significand == IntegerBit ? NumberClass.Infinity : (significand & QuietBit) != 0 ? NumberClass.QuietNaN : NumberClass.SignalingNaN;
        return number;
    }

    public readonly ushort ToHalf()
    {
        (int biased, ulong fraction) = Pack(-14, 15, 0x1f);
        return (ushort)((Negative ? 0x8000 : 0) | biased << 10 | (int)(fraction >> 53 & 0x3ff));
    }

    public readonly uint ToSingle()
    {
        (int biased, ulong fraction) = Pack(-126, 127, 0xff);
        return ((Negative ? 1u : 0) << 31) | ((uint)biased << 23) | (uint)(fraction >> 40 & 0x7fffff);
    }

    public readonly ulong ToDouble()
    {
        (int biased, ulong fraction) = Pack(-1022, 1023, 0x7ff);
        return ((Negative ? 1ul : 0) << 63) | ((ulong)biased << 52) | (fraction >> 11 & 0xfffffffffffff);
    }

    public readonly (ulong Significand, ushort SignExponent) ToExtended()
    {
        (int biased, ulong significand) = Pack(-16382, 16383, 0x7fff);
        return (significand, (ushort)(biased | (Negative ? 0x8000 : 0)));
    }

    // The fraction comes without the integer bit, left-aligned below it.
    private static Number Unpack(bool negative, int biased, int special, int bias, ulong fraction)
    {
        if (biased == special)
        {
            NumberClass kind = fraction == 0 ? NumberClass.Infinity : (fraction & QuietBit) != 0 ? NumberClass.QuietNaN : NumberClass.SignalingNaN;
            return new Number { Class = kind, Negative = negative, Significand = fraction | IntegerBit };
        }
        if (biased != 0)
            return Finite(negative, biased - bias, fraction | IntegerBit);
        if (fraction == 0)
            return Zero(negative);
        int shift = BitOperations.LeadingZeroCount(fraction);
        return Finite(negative, 1 - bias - shift, fraction << shift) with { Denormal = true };
    }

    // The number is already rounded to the format: nothing that the shift drops is set.
    private readonly (int Biased, ulong Significand) Pack(int minimum, int bias, int special)
    {
        switch (Class)
        {
            case NumberClass.Zero:
                return (0, 0);
            case NumberClass.Finite:
                return Exponent >= minimum ? (Exponent + bias, Significand) : (0, minimum - Exponent > 63 ? 0 : Significand >> (minimum - Exponent));
            default:
                return (special, Significand);
        }
    }
}
