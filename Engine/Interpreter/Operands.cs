using System.Runtime.CompilerServices;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter;

/// <summary>Where an instruction's source comes from.</summary>
internal unsafe interface ISource
{
    static abstract bool Read<T>(VcpuContext* c, Op* op, out T value)
        where T : unmanaged;
}

/// <summary>The register <see cref="Op.Dst"/>.</summary>
internal readonly unsafe struct FirstRegister : ISource
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Read<T>(VcpuContext* c, Op* op, out T value)
        where T : unmanaged
    {
        value = Registers.Get<T>(c, op->Dst);
        return true;
    }
}

/// <summary>The register <see cref="Op.Src"/>.</summary>
internal readonly unsafe struct RegisterSource : ISource
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Read<T>(VcpuContext* c, Op* op, out T value)
        where T : unmanaged
    {
        value = Registers.Get<T>(c, op->Src);
        return true;
    }
}

/// <summary>The immediate.</summary>
internal readonly unsafe struct ImmediateSource : ISource
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Read<T>(VcpuContext* c, Op* op, out T value)
        where T : unmanaged
    {
        value = *(T*)&op->Immediate;
        return true;
    }
}

/// <summary>The memory operand.</summary>
internal readonly unsafe struct MemorySource : ISource
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Read<T>(VcpuContext* c, Op* op, out T value)
        where T : unmanaged => GuestAccess.Load(c, GuestAccess.Address(c, op), out value);
}

/// <summary>Code that exists for each operand width.</summary>
internal interface IByWidth
{
    static abstract Handler For<T>()
        where T : unmanaged, IWord<T>;
}

/// <summary>Picks code by an operand's size.</summary>
internal static class Width
{
    public static Handler Pick<TFamily>(int bytes)
        where TFamily : IByWidth => bytes switch
        {
            1 => TFamily.For<Word8>(),
            2 => TFamily.For<Word16>(),
            4 => TFamily.For<Word32>(),
            8 => TFamily.For<Word64>(),
            _ => default,
        };

    /// <summary>Bytes of an operand: its register's, or the memory operand's.</summary>
    public static int Of(in Instruction instruction, int operand) =>
        instruction.GetOpKind(operand) == OpKind.Register ? instruction.GetOpRegister(operand).GetSize() : instruction.MemorySize.GetSize();

    public static bool IsMemory(in Instruction instruction, int operand) => instruction.GetOpKind(operand) == OpKind.Memory;

    public static bool IsRegister(in Instruction instruction, int operand) => instruction.GetOpKind(operand) == OpKind.Register;

    /// <summary>Whether the operand is a general register or memory.</summary>
    public static bool IsGeneral(in Instruction instruction, int operand) =>
        IsMemory(instruction, operand) || (IsRegister(instruction, operand) && instruction.GetOpRegister(operand).IsGPR());
}
