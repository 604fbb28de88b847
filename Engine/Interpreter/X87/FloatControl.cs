namespace Godwit.Engine.Interpreter.X87;

/// <summary>Rounding control, as MXCSR and the x87 control word encode it.</summary>
internal enum Rounding : byte
{
    Nearest = 0,
    Down = 1,
    Up = 2,
    Zero = 3,
}

/// <summary>What an operation must know of its control register, and the exceptions that it raised.</summary>
internal struct FloatControl
{
    /// <summary>Exceptions raised, in the bits of <see cref="X87Flags"/>.</summary>
    public int Flags;

    /// <summary>A set bit masks the exception.</summary>
    public int Masks;

    public Rounding Rounding;

    public bool FlushToZero;

    /// <summary>x87 rules: of two NaNs the larger one wins, unmasked overflow and underflow deliver a result with wrapped exponent.</summary>
    public bool X87;

    /// <summary>The last rounding was away from zero (C1).</summary>
    public bool RoundedUp;

    /// <summary>The controls of an MXCSR value.</summary>
    public static FloatControl FromMxcsr(uint mxcsr) => new()
    {
        Masks = (int)(mxcsr >> 7) & X87Flags.Exceptions,
        Rounding = (Rounding)((mxcsr >> 13) & 3),
        FlushToZero = (mxcsr & 0x8000) != 0,
    };

    public static FloatControl FromX87(int control) => new()
    {
        Masks = control & X87Flags.Exceptions,
        Rounding = (Rounding)((control >> 10) & 3),
        X87 = true,
    };

    public readonly bool Masked(int exception) => (Masks & exception) != 0;
}

/// <summary>A floating-point format to round to.</summary>
internal sealed record FloatFormat(int Precision, int MinExponent, int MaxExponent)
{
    /// <summary>What unmasked overflow subtracts from the exponent and underflow adds (extended results only; Intel SDM 1, 8.5.4).</summary>
    public const int WrapBias = 24576;

    public static readonly FloatFormat Half = new(11, -14, 15);
    public static readonly FloatFormat Single = new(24, -126, 127);
    public static readonly FloatFormat Double = new(53, -1022, 1023);
    public static readonly FloatFormat Extended = new(64, -16382, 16383);

    /// <summary>Extended range, the precision that the x87 control word asks for.</summary>
    public static readonly FloatFormat[] ByPrecisionControl =
        [new(24, -16382, 16383), new(64, -16382, 16383), new(53, -16382, 16383), new(64, -16382, 16383)];
}
