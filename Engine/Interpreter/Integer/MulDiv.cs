using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Integer;

/// <summary>MUL, IMUL, DIV, IDIV. SF, ZF, AF and PF, undefined after them, follow the low half of a product and stay after a division.</summary>
internal static unsafe class MulDiv
{
    public static Row[] Rows { get; } =
    [
        new(Mnemonic.Mul, SelectWide<Mul>),
        new(Mnemonic.Imul, SelectImul),
        new(Mnemonic.Div, SelectWide<Div>),
        new(Mnemonic.Idiv, SelectWide<Idiv>),
    ];

    /// <summary>An operation on rDX:rAX (AX for bytes) and one operand. False: #DE.</summary>
    private interface IWideOperation
    {
        static abstract bool Apply<T>(VcpuContext* c, T operand)
            where T : unmanaged, IWord<T>;
    }

    private static Handler SelectWide<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : IWideOperation
    {
        int size = Width.Of(instruction, 0);
        return Width.IsMemory(instruction, 0)
            ? Width.Pick<Wide<TOperation, MemorySource>>(size)
            : Width.Pick<Wide<TOperation, FirstRegister>>(size);
    }

    private static Handler SelectImul(in Instruction instruction, ref Op op)
    {
        if (instruction.OpCount == 1)
            return SelectWide<Imul>(instruction, ref op);
        int size = Width.Of(instruction, 0);
        bool memory = Width.IsMemory(instruction, 1);
        if (instruction.OpCount == 2)
            return memory ? Width.Pick<Product<FirstRegister, MemorySource>>(size) : Width.Pick<Product<FirstRegister, RegisterSource>>(size);
        return memory ? Width.Pick<Product<ImmediateSource, MemorySource>>(size) : Width.Pick<Product<ImmediateSource, RegisterSource>>(size);
    }

    private readonly struct Wide<TOperation, TSource> : IByWidth
        where TOperation : IWideOperation
        where TSource : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TSource.Read(c, op, out T operand) || !TOperation.Apply(c, operand))
                return null;
            return op + 1;
        }
    }

    /// <summary>IMUL with two or three operands.</summary>
    private readonly struct Product<TLeft, TRight> : IByWidth
        where TLeft : ISource
        where TRight : ISource
    {
        public static Handler For<T>()
            where T : unmanaged, IWord<T> => new(&Execute<T>);

        private static Op* Execute<T>(VcpuContext* c, Op* op)
            where T : unmanaged, IWord<T>
        {
            if (!TRight.Read(c, op, out T right))
                return null;
            TLeft.Read(c, op, out T left);
            T low;
            bool overflow;
            if (sizeof(T) == 8)
            {
                long high = Math.BigMul((long)LazyFlags.SignExtend(left), (long)LazyFlags.SignExtend(right), out long product);
                low = *(T*)&product;
                overflow = high != product >> 63;
            }
            else
            {
                long product = (long)LazyFlags.SignExtend(left) * (long)LazyFlags.SignExtend(right);
                low = *(T*)&product;
                overflow = (long)LazyFlags.SignExtend(low) != product;
            }
            Registers.Set(c, op->Dst, low);
            ulong flag = overflow ? 1ul : 0;
            LazyFlags.With(low, flag, flag).Commit(c);
            return op + 1;
        }
    }

    /// <summary>Stores a double-width result: AX for bytes, otherwise rDX:rAX.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void SetWide<T>(VcpuContext* c, ulong low, ulong high)
        where T : unmanaged
    {
        if (sizeof(T) == 1)
        {
            *(byte*)&c->State.Gpr[Gpr.RAX] = (byte)low;
            *((byte*)&c->State.Gpr[Gpr.RAX] + 1) = (byte)high;
        }
        else if (sizeof(T) == 2)
        {
            *(ushort*)&c->State.Gpr[Gpr.RAX] = (ushort)low;
            *(ushort*)&c->State.Gpr[Gpr.RDX] = (ushort)high;
        }
        else if (sizeof(T) == 4)
        {
            c->State.Gpr[Gpr.RAX] = (uint)low;
            c->State.Gpr[Gpr.RDX] = (uint)high;
        }
        else
        {
            c->State.Gpr[Gpr.RAX] = low;
            c->State.Gpr[Gpr.RDX] = high;
        }
    }

    /// <summary>The double-width dividend of a width below 64 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong GetWide<T>(VcpuContext* c)
        where T : unmanaged
    {
        ulong low = c->State.Gpr[Gpr.RAX], high = c->State.Gpr[Gpr.RDX];
        if (sizeof(T) == 1)
            return (ushort)low;
        if (sizeof(T) == 2)
            return (high & 0xffff) << 16 | (low & 0xffff);
        return high << 32 | (uint)low;
    }

    private readonly struct Mul : IWideOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Apply<T>(VcpuContext* c, T operand)
            where T : unmanaged, IWord<T>
        {
            ulong low, high;
            if (sizeof(T) == 8)
                high = Math.BigMul(c->State.Gpr[Gpr.RAX], ShiftForms.Extend(operand), out low);
            else
            {
                ulong rax = c->State.Gpr[Gpr.RAX];
                ulong product = ShiftForms.Extend(*(T*)&rax) * ShiftForms.Extend(operand);
                low = product;
                high = product >> (sizeof(T) * 8);
            }
            SetWide<T>(c, low, high);
            ulong flag = high != 0 ? 1ul : 0;
            LazyFlags.With(*(T*)&low, flag, flag).Commit(c);
            return true;
        }
    }

    private readonly struct Imul : IWideOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Apply<T>(VcpuContext* c, T operand)
            where T : unmanaged, IWord<T>
        {
            long low, high;
            ulong rax = c->State.Gpr[Gpr.RAX];
            long left = (long)LazyFlags.SignExtend(*(T*)&rax), right = (long)LazyFlags.SignExtend(operand);
            if (sizeof(T) == 8)
                high = Math.BigMul(left, right, out low);
            else
            {
                long product = left * right;
                low = product;
                high = product >> (sizeof(T) * 8);
            }
            SetWide<T>(c, (ulong)low, (ulong)high);
            ulong flag = high != (long)LazyFlags.SignExtend(*(T*)&low) >> 63 ? 1ul : 0;
            LazyFlags.With(*(T*)&low, flag, flag).Commit(c);
            return true;
        }
    }

    private readonly struct Div : IWideOperation
    {
        public static bool Apply<T>(VcpuContext* c, T operand)
            where T : unmanaged, IWord<T>
        {
            ulong divisor = ShiftForms.Extend(operand);
            if (divisor == 0)
                return c->Raise(Cpu.Vector.DE);
            ulong quotient, remainder;
            if (sizeof(T) < 8)
            {
                (quotient, remainder) = Math.DivRem(GetWide<T>(c), divisor);
                if (quotient >> (sizeof(T) * 8) != 0)
                    return c->Raise(Cpu.Vector.DE);
            }
            else
            {
                ulong high = c->State.Gpr[Gpr.RDX], low = c->State.Gpr[Gpr.RAX];
                if (high >= divisor)
                    return c->Raise(Cpu.Vector.DE);
                if (high == 0)
                    (quotient, remainder) = Math.DivRem(low, divisor);
                else
                {
                    UInt128 dividend = new(high, low);
                    quotient = (ulong)(dividend / divisor);
                    remainder = low - quotient * divisor;
                }
            }
            SetWide<T>(c, quotient, remainder);
            return true;
        }
    }

    private readonly struct Idiv : IWideOperation
    {
        public static bool Apply<T>(VcpuContext* c, T operand)
            where T : unmanaged, IWord<T>
        {
            long divisor = (long)LazyFlags.SignExtend(operand);
            if (divisor == 0)
                return c->Raise(Cpu.Vector.DE);
            long quotient, remainder;
            if (sizeof(T) < 8)
            {
                long dividend = (long)GetWide<T>(c);
                if (sizeof(T) < 4)
                    dividend = dividend << (64 - sizeof(T) * 16) >> (64 - sizeof(T) * 16);
                if (divisor == -1 && dividend == long.MinValue)
                    return c->Raise(Cpu.Vector.DE);
                (quotient, remainder) = Math.DivRem(dividend, divisor);
                if (quotient << (64 - sizeof(T) * 8) >> (64 - sizeof(T) * 8) != quotient)
                    return c->Raise(Cpu.Vector.DE);
            }
            else
            {
                long high = (long)c->State.Gpr[Gpr.RDX], low = (long)c->State.Gpr[Gpr.RAX];
                if (!DivideWide(high, low, divisor, out quotient, out remainder))
                    return c->Raise(Cpu.Vector.DE);
            }
            SetWide<T>(c, (ulong)quotient, (ulong)remainder);
            return true;
        }

        private static bool DivideWide(long high, long low, long divisor, out long quotient, out long remainder)
        {
            quotient = remainder = 0;
            if (high == low >> 63 && !(divisor == -1 && low == long.MinValue))
            {
                (quotient, remainder) = Math.DivRem(low, divisor);
                return true;
            }
            UInt128 dividend = new((ulong)high, (ulong)low);
            UInt128 magnitude = high < 0 ? (UInt128)0 - dividend : dividend;
            ulong by = divisor < 0 ? 0 - (ulong)divisor : (ulong)divisor;
            UInt128 wide = magnitude / by;
            bool negative = high < 0 != divisor < 0;
            if (wide > (negative ? 1ul << 63 : (1ul << 63) - 1))
                return false;
            quotient = negative ? (long)(0 - (ulong)wide) : (long)wide;
            remainder = low - quotient * divisor;
            return true;
        }
    }
}
