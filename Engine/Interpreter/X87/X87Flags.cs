namespace Godwit.Engine.Interpreter.X87;

/// <summary>Bits of the x87 control and status words (Intel SDM 1, 8.1.3 and 8.1.5).</summary>
internal static class X87Flags
{
    /// <summary>Exception flags, in the status word's (and, as masks, the control word's) low bits; MXCSR orders them alike.</summary>
    public const int Invalid = 1, Denormal = 2, ZeroDivide = 4, Overflow = 8, Underflow = 16, Precision = 32, Exceptions = 63;

    public const int StackFault = 1 << 6, ErrorSummary = 1 << 7, Busy = 1 << 15;

    public const int C0 = 1 << 8, C1 = 1 << 9, C2 = 1 << 10, C3 = 1 << 14, ConditionCodes = C0 | C1 | C2 | C3;

    public const int TopShift = 11, Top = 7 << TopShift;

    /// <summary>Bits of the control word that a program sets: masks, precision, rounding, infinity.</summary>
    public const int ControlBits = 0x1f3f;

    /// <summary>Bit 6 of the control word always reads 1.</summary>
    public const int ControlReserved = 0x40;

    /// <summary>The status word with the error summary and busy bits that its flags and the masks demand.</summary>
    public static ushort WithSummary(int status, int control) =>
        (status & ~control & Exceptions) != 0
            ? (ushort)(status | ErrorSummary | Busy)
            : (ushort)(status & ~(ErrorSummary | Busy));
}
