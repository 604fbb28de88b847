using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>AND, OR, XOR, TEST, NOT.</summary>
internal static unsafe class Logic
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.And, BinaryForms.Select<And>),
        new(Mnemonic.Or, BinaryForms.Select<Or>),
        new(Mnemonic.Xor, BinaryForms.Select<Xor>),
        new(Mnemonic.Test, BinaryForms.Select<Test>),
        new(Mnemonic.Not, UnaryForms.Select<Not>),
    ];

    private readonly struct And : IBinaryOperation
    {
        public static bool Stores => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T result = left & right;
            flags = LazyFlags.Logical(result);
            return result;
        }
    }

    private readonly struct Or : IBinaryOperation
    {
        public static bool Stores => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T result = left | right;
            flags = LazyFlags.Logical(result);
            return result;
        }
    }

    private readonly struct Xor : IBinaryOperation
    {
        public static bool Stores => true;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            T result = left ^ right;
            flags = LazyFlags.Logical(result);
            return result;
        }
    }

    private readonly struct Test : IBinaryOperation
    {
        public static bool Stores => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T left, T right, out LazyFlags flags)
            where T : unmanaged, IWord<T> => And.Apply(c, left, right, out flags);
    }

    private readonly struct Not : IUnaryOperation
    {
        public static bool SetsFlags => false;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Apply<T>(VcpuContext* c, T value, out LazyFlags flags)
            where T : unmanaged, IWord<T>
        {
            flags = default;
            return ~value;
        }
    }
}
