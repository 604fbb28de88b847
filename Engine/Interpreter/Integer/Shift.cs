using System.Numerics;
using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>SHL, SAL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD. Where the manual leaves OF undefined (counts above 1) it is computed as for 1.</summary>
internal static unsafe class Shift
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Shl, ShiftForms.Select<Shl>),
        new(Mnemonic.Sal, ShiftForms.Select<Shl>),
        new(Mnemonic.Shr, ShiftForms.Select<Shr>),
        new(Mnemonic.Sar, ShiftForms.Select<Sar>),
        new(Mnemonic.Rol, ShiftForms.Select<Rol>),
        new(Mnemonic.Ror, ShiftForms.Select<Ror>),
        new(Mnemonic.Rcl, ShiftForms.Select<Rcl>),
        new(Mnemonic.Rcr, ShiftForms.Select<Rcr>),
        new(Mnemonic.Shld, ShiftForms.SelectDouble<Shld>),
        new(Mnemonic.Shrd, ShiftForms.SelectDouble<Shrd>),
    ];

    private readonly struct Shl : IShiftOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
            where T : unmanaged
        {
            int bits = sizeof(T) * 8;
            ulong result = value << count;
            ulong carry = bits == 64 ? value >> (64 - count) & 1 : result >> bits & 1;
            flags = ShiftForms.Flags<T>(result, carry, carry ^ (result >> (bits - 1) & 1));
            return result;
        }
    }

    private readonly struct Shr : IShiftOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
            where T : unmanaged
        {
            ulong result = value >> count;
            flags = ShiftForms.Flags<T>(result, value >> (count - 1) & 1, ShiftForms.TopTwoDiffer<T>(result));
            return result;
        }
    }

    private readonly struct Sar : IShiftOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
            where T : unmanaged
        {
            long extended = (long)value << (64 - sizeof(T) * 8) >> (64 - sizeof(T) * 8);
            ulong result = (ulong)(extended >> count);
            flags = ShiftForms.Flags<T>(result, (ulong)(extended >> (count - 1)) & 1, 0);
            return result;
        }
    }

    private readonly struct Rol : IShiftOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
            where T : unmanaged
        {
            int bits = sizeof(T) * 8;
            count &= bits - 1;
            ulong result = bits == 64 ? BitOperations.RotateLeft(value, count) : value << count | value >> (bits - count);
            ulong carry = result & 1;
            flags = LazyFlags.Replace(c, carry, carry ^ (result >> (bits - 1) & 1));
            return result;
        }
    }

    private readonly struct Ror : IShiftOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
            where T : unmanaged
        {
            int bits = sizeof(T) * 8;
            count &= bits - 1;
            ulong result = bits == 64 ? BitOperations.RotateRight(value, count) : value >> count | value << (bits - count);
            flags = LazyFlags.Replace(c, result >> (bits - 1) & 1, ShiftForms.TopTwoDiffer<T>(result));
            return result;
        }
    }

    private readonly struct Rcl : IShiftOperation
    {
        public static ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
            where T : unmanaged
        {
            int bits = sizeof(T) * 8;
            ulong carry = LazyFlags.Carry(c);
            ulong result = value;
            for (int left = count % (bits + 1); left > 0; left--)
            {
                ulong top = result >> (bits - 1) & 1;
                result = result << 1 | carry;
                carry = top;
            }
            flags = LazyFlags.Replace(c, carry, carry ^ (result >> (bits - 1) & 1));
            return result;
        }
    }

    private readonly struct Rcr : IShiftOperation
    {
        public static ulong Apply<T>(VcpuContext* c, ulong value, int count, out LazyFlags flags)
            where T : unmanaged
        {
            int bits = sizeof(T) * 8;
            ulong carry = LazyFlags.Carry(c);
            ulong result = value;
            for (int left = count % (bits + 1); left > 0; left--)
            {
                ulong low = result & 1;
                result = result >> 1 | carry << (bits - 1);
                carry = low;
            }
            flags = LazyFlags.Replace(c, carry, ShiftForms.TopTwoDiffer<T>(result));
            return result;
        }
    }

    private readonly struct Shld : IDoubleShiftOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(ulong value, ulong fill, int count, out LazyFlags flags)
            where T : unmanaged
        {
            int bits = sizeof(T) * 8;
            ulong result, carry;
            if (bits == 16)
            {
                // Counts of 17 to 31 are undefined; the fill is taken to repeat, as processors do.
                ulong wide = value << 32 | fill << 16 | value;
                result = wide << count >> 32;
                carry = wide >> (48 - count) & 1;
            }
            else
            {
                result = value << count | fill >> (bits - count);
                carry = value >> (bits - count) & 1;
            }
            flags = ShiftForms.Flags<T>(result, carry, (value ^ result) >> (bits - 1) & 1);
            return result;
        }
    }

    private readonly struct Shrd : IDoubleShiftOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static ulong Apply<T>(ulong value, ulong fill, int count, out LazyFlags flags)
            where T : unmanaged
        {
            int bits = sizeof(T) * 8;
            ulong result, carry;
            if (bits == 16)
            {
                ulong wide = value << 32 | fill << 16 | value;
                result = wide >> count;
                carry = wide >> (count - 1) & 1;
            }
            else
            {
                result = value >> count | fill << (bits - count);
                carry = value >> (count - 1) & 1;
            }
            flags = ShiftForms.Flags<T>(result, carry, (value ^ result) >> (bits - 1) & 1);
            return result;
        }
    }
}
