using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>FBLD and FBSTP: eighteen packed decimal digits, then a byte whose highest bit is the sign.</summary>
internal static unsafe class X87Decimal
{
    private const ulong Limit = 999_999_999_999_999_999;

    public static readonly Row[] Rows =
    [
        new(Mnemonic.Fbld, (in Instruction instruction, ref Op op) => new Handler(&Load)),
        new(Mnemonic.Fbstp, (in Instruction instruction, ref Op op) => new Handler(&Store)),
    ];

    private static Op* Load(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        ulong address = X87Unit.Address(c, op);
        if (!GuestAccess.Load(c, address, out ulong low) || !GuestAccess.Load(c, address + 8, out ushort high))
            return VectorState.Leave(c, op);
        // Digits above nine are not checked for; they count with their place's weight, as in hardware.
        ulong value = 0;
        for (int i = 1; i >= 0; i--)
            value = value * 10 + (ulong)(high >> (4 * i) & 15);
        for (int i = 15; i >= 0; i--)
            value = value * 10 + (low >> (4 * i) & 15);
        Number number = Number.Integer((long)value);
        number.Negative = (high & 0x8000) != 0;
        X87Unit.ClearC1(c);
        X87Unit.Push(c, number);
        return op + 1;
    }

    private static Op* Store(VcpuContext* c, Op* op)
    {
        if (!X87Unit.Ready(c, op))
            return VectorState.Leave(c, op);
        ulong address = X87Unit.Address(c, op);
        FloatControl control = X87Unit.Control(c);
        // The decimal indefinite (Intel SDM 1, 4.9.1.1).
        (ulong low, ushort high) = (0xc000000000000000, (ushort)0xffff);
        Number value = X87Unit.Get(c, 0);
        if (X87Unit.IsEmpty(c, 0))
            control.Flags = X87Flags.Invalid | X87Flags.StackFault;
        else if (value.Class > NumberClass.Finite || (value.Class == NumberClass.Finite && value.Exponent > 62))
            control.Flags = X87Flags.Invalid;
        else
        {
            long integer = SoftFloat.ToInteger(value, 64, control.Rounding, ref control);
            ulong magnitude = integer < 0 ? (ulong)-integer : (ulong)integer;
            if (magnitude > Limit)
            {
                control.Flags = X87Flags.Invalid;
                control.RoundedUp = false;
            }
            else
                (low, high) = Pack(magnitude, value.Negative);
        }
        bool deliver = (control.Flags & X87Flags.Invalid & ~control.Masks) == 0;
        if (deliver && (!GuestAccess.Store(c, address, low) || !GuestAccess.Store(c, address + 8, high)))
            return VectorState.Leave(c, op);
        X87Unit.Report(c, control);
        if (deliver)
            X87Unit.Pop(c);
        return op + 1;
    }

    private static (ulong Low, ushort High) Pack(ulong magnitude, bool negative)
    {
        ulong low = 0;
        for (int i = 0; i < 16; i++, magnitude /= 10)
            low |= magnitude % 10 << (4 * i);
        return (low, (ushort)((negative ? 0x8000u : 0) | (uint)(magnitude / 10 << 4 | magnitude % 10)));
    }
}
