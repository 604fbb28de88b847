using Iced.Intel;

namespace Godwit.Engine.Interpreter.X87;

/// <summary>How a memory operand's bits become a number.</summary>
internal interface IX87Source<T>
    where T : unmanaged
{
    static abstract Number Unpack(T bits);
}

internal readonly struct SingleSource : IX87Source<uint>
{
    public static Number Unpack(uint bits) => Number.FromSingle(bits);
}

internal readonly struct DoubleSource : IX87Source<ulong>
{
    public static Number Unpack(ulong bits) => Number.FromDouble(bits);
}

internal readonly struct WordSource : IX87Source<short>
{
    public static Number Unpack(short bits) => Number.Integer(bits);
}

internal readonly struct DwordSource : IX87Source<int>
{
    public static Number Unpack(int bits) => Number.Integer(bits);
}

internal readonly struct QwordSource : IX87Source<long>
{
    public static Number Unpack(long bits) => Number.Integer(bits);
}

/// <summary>Puts stack indices (not context offsets: they are relative to TOP) into an op.</summary>
internal static class X87Operands
{
    /// <summary>Dst and Src become the stack indices of operands 0 and 1, Extra how often the instruction pops.</summary>
    public static void Bind(in Instruction instruction, ref Op op, uint pops)
    {
        op.Dst = Index(instruction, 0);
        op.Src = Index(instruction, 1);
        op.Extra = pops;
    }

    private static ushort Index(in Instruction instruction, int operand)
    {
        if (operand >= instruction.OpCount || instruction.GetOpKind(operand) != OpKind.Register)
            return 0;
        Register register = instruction.GetOpRegister(operand);
        return register is >= Register.ST0 and <= Register.ST7 ? (ushort)(register - Register.ST0) : (ushort)0;
    }
}
