using Godwit.Engine.Interpreter.X87;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>ROUNDPS, ROUNDPD, ROUNDSS, ROUNDSD: to integers, by the immediate's or MXCSR's rounding.</summary>
internal static class Sse41Round
{
    public static readonly Row[] Rows =
    [
        FloatRows.Packed<ToInteger<float>, float>(Mnemonic.Roundps),
        FloatRows.Packed<ToInteger<double>, double>(Mnemonic.Roundpd),
        FloatRows.Scalar<ToInteger<float>, float>(Mnemonic.Roundss),
        FloatRows.Scalar<ToInteger<double>, double>(Mnemonic.Roundsd),
    ];

    internal readonly struct ToInteger<T> : ILaneFunction<T>
        where T : unmanaged
    {
        private const uint UseMxcsr = 4, SuppressPrecision = 8;

        public static T Apply(T left, T right, uint mxcsr, uint control, ref int flags)
        {
            Number value = FloatLane.Unpack(right, mxcsr);
            var special = default(FloatControl);
            if (SoftFloat.Special(value, value, ref special, out Number result))
            {
                flags |= special.Flags;
                return FloatLane.Pack<T>(result);
            }
            if (value.Class != NumberClass.Finite || value.Exponent >= 63)
                return FloatLane.Pack<T>(value);
            Rounding rounding = (Rounding)(((control & UseMxcsr) != 0 ? mxcsr >> 13 : control) & 3);
            ulong magnitude = (ulong)SoftFloat.RoundedMagnitude(value, rounding, out bool inexact, out _);
            if (inexact && (control & SuppressPrecision) == 0)
                flags |= X87Flags.Precision;
            Number rounded = Number.Integer((long)magnitude);
            rounded.Negative = value.Negative;
            return FloatLane.Pack<T>(rounded);
        }
    }
}
