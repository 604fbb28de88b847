using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>
/// RCPPS, RSQRTPS and their scalar forms. The manual allows a relative error of 1.5 * 2^-12; here results are correctly
/// rounded, so that they are the same on every host. They raise no exception and ignore MXCSR; denormal operands count
/// as zeros and denormal results become zeros (Intel SDM 2B, RCPPS).
/// </summary>
internal static class Reciprocals
{
    private const uint Indefinite = 0xffc00000, Infinity = 0x7f800000, Quiet = 0x00400000, SignBit = 0x80000000;

    public static readonly Row[] Rows =
    [
        FloatRows.Packed<Reciprocal, float>(Mnemonic.Rcpps),
        FloatRows.Scalar<Reciprocal, float>(Mnemonic.Rcpss),
        FloatRows.Packed<ReciprocalRoot, float>(Mnemonic.Rsqrtps),
        FloatRows.Scalar<ReciprocalRoot, float>(Mnemonic.Rsqrtss),
    ];

    internal readonly struct Reciprocal : ILaneFunction<float>
    {
        public static float Apply(float left, float right, uint mxcsr, uint control, ref int flags)
        {
            uint bits = BitConverter.SingleToUInt32Bits(right), sign = bits & SignBit;
            if (float.IsNaN(right))
                return BitConverter.UInt32BitsToSingle(bits | Quiet);
            if ((bits & Infinity) == 0)
                return BitConverter.UInt32BitsToSingle(sign | Infinity);
            float result = (float)(1 / (double)right);
            return float.IsSubnormal(result) ? BitConverter.UInt32BitsToSingle(sign) : result;
        }
    }

    internal readonly struct ReciprocalRoot : ILaneFunction<float>
    {
        public static float Apply(float left, float right, uint mxcsr, uint control, ref int flags)
        {
            uint bits = BitConverter.SingleToUInt32Bits(right), sign = bits & SignBit;
            if (float.IsNaN(right))
                return BitConverter.UInt32BitsToSingle(bits | Quiet);
            if ((bits & Infinity) == 0)
                return BitConverter.UInt32BitsToSingle(sign | Infinity);
            return sign != 0 ? BitConverter.UInt32BitsToSingle(Indefinite) : (float)(1 / Math.Sqrt(right));
        }
    }
}
