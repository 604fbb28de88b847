namespace Godwit.Engine.Interpreter.X87;

/// <summary>Mathematical constants as 128-bit significands, bit 127 set; the exponent of the leading bit is in each name's remark.</summary>
internal static class WideConstants
{
    /// <summary>Pi, 2^1.</summary>
    public static readonly UInt128 Pi = new(0xc90fdaa22168c234, 0xc4c6628b80dc1cd1);

    /// <summary>The next 128 bits of pi.</summary>
    public static readonly UInt128 PiTail = new(0x29024e088a67cc74, 0x020bbea63b139b22);

    /// <summary>Binary logarithm of 10, 2^1.</summary>
    public static readonly UInt128 Log2Of10 = new(0xd49a784bcd1b8afe, 0x492bf6ff4dafdb4c);

    /// <summary>Binary logarithm of e, 2^0.</summary>
    public static readonly UInt128 Log2OfE = new(0xb8aa3b295c17f0bb, 0xbe87fed0691d3e88);

    /// <summary>Decimal logarithm of 2, 2^-2.</summary>
    public static readonly UInt128 Log10Of2 = new(0x9a209a84fbcff798, 0x8f8959ac0b7c9178);

    /// <summary>Natural logarithm of 2, 2^-1.</summary>
    public static readonly UInt128 Ln2 = new(0xb17217f7d1cf79ab, 0xc9e3b39803f2f6af);
}
