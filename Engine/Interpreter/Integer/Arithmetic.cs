using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>ADD, ADC, SUB, SBB, CMP, NEG, INC, DEC.</summary>
internal static unsafe class Arithmetic
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Add, BinaryForms.Select<Add>),
        new(Mnemonic.Adc, BinaryForms.Select<Adc>),
        new(Mnemonic.Sub, BinaryForms.Select<Sub>),
        new(Mnemonic.Sbb, BinaryForms.Select<Sbb>),
        new(Mnemonic.Cmp, BinaryForms.Select<Cmp>),
        new(Mnemonic.Neg, UnaryForms.Select<Neg>),
        new(Mnemonic.Inc, UnaryForms.Select<Inc>),
        new(Mnemonic.Dec, UnaryForms.Select<Dec>),
    ];

    /// <summary>The carry out of each bit of a sum.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Carries<T>(T left, T right, T sum)
        where T : unmanaged, IWord<T> => (left & right) | ((left | right) & ~sum);

    /// <summary>The borrow out of each bit of a difference.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Borrows<T>(T left, T right, T difference)
        where T : unmanaged, IWord<T> => (~left & right) | (~(left ^ right) & difference);

    public readonly struct Add : IBinaryOperation
    {
        public static bool Stores => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T sum = left + right;
            flags = LazyFlags.Of(sum, Carries(left, right, sum));
            return sum;
        }
    }

    private readonly struct Adc : IBinaryOperation
    {
        public static bool Stores => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T sum = left + right + T.Truncate(LazyFlags.Carry(c));
            flags = LazyFlags.Of(sum, Carries(left, right, sum));
            return sum;
        }
    }

    public readonly struct Sub : IBinaryOperation
    {
        public static bool Stores => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T difference = left - right;
            flags = LazyFlags.Of(difference, Borrows(left, right, difference));
            return difference;
        }
    }

    private readonly struct Sbb : IBinaryOperation
    {
        public static bool Stores => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T difference = left - right - T.Truncate(LazyFlags.Carry(c));
            flags = LazyFlags.Of(difference, Borrows(left, right, difference));
            return difference;
        }
    }

    private readonly struct Cmp : IBinaryOperation
    {
        public static bool Stores => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T> => Sub.Apply(c, left, right, out flags);
    }

    private readonly struct Neg : IUnaryOperation
    {
        public static bool SetsFlags => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T value, out LazyFlags flags)
            where T : unmanaged, IWord<T> => Sub.Apply(c, T.Zero, value, out flags);
    }

    private readonly struct Inc : IUnaryOperation
    {
        public static bool SetsFlags => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T value, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T result = Add.Apply(c, value, T.One, out flags);
            flags = KeepCarry(c, flags);
            return result;
        }
    }

    private readonly struct Dec : IUnaryOperation
    {
        public static bool SetsFlags => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T value, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T result = Sub.Apply(c, value, T.One, out flags);
            flags = KeepCarry(c, flags);
            return result;
        }
    }

    /// <summary>INC and DEC leave CF; the bit that makes OF from it follows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static LazyFlags KeepCarry(VcpuContext* c, LazyFlags flags)
    {
        uint change = (flags.Aux ^ c->FlagAux) & VcpuContext.AuxCarry;
        return new LazyFlags(flags.Result, flags.Aux ^ change ^ (change >> 1));
    }
}
