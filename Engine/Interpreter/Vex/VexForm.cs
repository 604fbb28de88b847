using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>The vector length of a VEX instruction.</summary>
internal interface IVexWidth
{
    static abstract bool Is256 { get; }
}

/// <summary>VEX.L 0: 128 bits; the rest of the destination becomes zero.</summary>
internal readonly struct Vex128 : IVexWidth
{
    public static bool Is256 => false;
}

/// <summary>VEX.L 1: 256 bits, for most operations two of 128 side by side.</summary>
internal readonly struct Vex256 : IVexWidth
{
    public static bool Is256 => true;
}

/// <summary>Code that exists for each vector length and for a last source in a register and in memory.</summary>
internal interface IVexForms
{
    static abstract Handler For<TSource, TWidth>()
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth;
}

/// <summary>
/// Operands of VEX instructions: the destination is <see cref="Op.Dst"/>, the first source <see cref="Op.Third"/>, the last
/// one <see cref="Op.Src"/> or the memory operand, an immediate control <see cref="Op.Extra"/>. Memory need not be aligned.
/// </summary>
internal static unsafe class VexForm
{
    /// <summary>Binds the operands and picks the code for them.</summary>
    public static Handler Pick<TForms>(in Instruction instruction, ref Op op)
        where TForms : struct, IVexForms
    {
        Bind(instruction, ref op);
        bool wide = Is256(instruction);
        if (HasMemory(instruction))
            return wide ? TForms.For<MemorySource, Vex256>() : TForms.For<MemorySource, Vex128>();
        return wide ? TForms.For<RegisterSource, Vex256>() : TForms.For<RegisterSource, Vex128>();
    }

    /// <summary>Puts the operands' places into the op. With one source only, the first is the destination and does not count.</summary>
    public static void Bind(in Instruction instruction, ref Op op)
    {
        int last = instruction.OpCount - 1;
        if (instruction.GetOpKind(last) == OpKind.Immediate8)
        {
            op.Extra = instruction.Immediate8;
            last--;
        }
        op.Dst = Place(instruction, 0);
        op.Third = last > 1 ? Place(instruction, 1) : op.Dst;
        op.Src = Place(instruction, last);
    }

    /// <summary>The context offset of a register operand; that of zero for others.</summary>
    public static ushort Place(in Instruction instruction, int operand) =>
        instruction.GetOpKind(operand) == OpKind.Register ? Registers.OffsetOf(instruction.GetOpRegister(operand)) : Registers.Zero;

    public static bool HasMemory(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            if (instruction.GetOpKind(i) == OpKind.Memory)
                return true;
        }
        return false;
    }

    /// <summary>Whether a register or the memory operand is 256 bits wide.</summary>
    public static bool Is256(in Instruction instruction)
    {
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            if (kind == OpKind.Register ? instruction.GetOpRegister(i).IsYMM() : kind == OpKind.Memory && instruction.MemorySize.GetSize() == 32)
                return true;
        }
        return false;
    }

    /// <summary>The last source, 128 or 256 bits of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Read<TSource, TWidth>(VcpuContext* c, Op* op, out Vector256<byte> value)
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
    {
        if (TWidth.Is256)
            return TSource.Read(c, op, out value);
        bool read = TSource.Read(c, op, out Vector128<byte> low);
        value = low.ToVector256();
        return read;
    }

    /// <summary>The first source, all 256 bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<byte> First(VcpuContext* c, Op* op) => *(Vector256<byte>*)((byte*)c + op->Third);

    /// <summary>Writes the destination, all of it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Op* Write(VcpuContext* c, Op* op, Vector128<byte> low, Vector128<byte> high)
    {
        *(Vector256<byte>*)((byte*)c + op->Dst) = Vector256.Create(low, high);
        return op + 1;
    }

    /// <summary>Writes the destination's low half and clears the other.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Op* Write(VcpuContext* c, Op* op, Vector128<byte> low) => Write(c, op, low, default);
}
