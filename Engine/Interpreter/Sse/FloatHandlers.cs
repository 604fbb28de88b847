using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>A function of two lanes and MXCSR that may raise exceptions: arithmetic, minimum, comparison masks.</summary>
internal interface ILaneFunction<T>
    where T : unmanaged
{
    static abstract T Apply(T left, T right, uint mxcsr, uint control, ref int flags);
}

/// <summary>Arithmetic as a lane function.</summary>
internal readonly struct Arithmetic<TOperation, T> : ILaneFunction<T>
    where TOperation : struct, ILaneOperation
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Apply(T left, T right, uint mxcsr, uint control, ref int flags) =>
        FloatLane.Compute<TOperation, T>(left, right, mxcsr, ref flags);
}

/// <summary>Handlers that apply a lane function to all lanes, or to the lowest with the others kept.</summary>
internal static unsafe class FloatHandlers<TFunction, T>
    where TFunction : struct, ILaneFunction<T>
    where T : unmanaged
{
    public static Op* PackedRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return Packed(c, op, *(Vector128<byte>*)((byte*)c + op->Src));
    }

    public static Op* PackedMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !Operands.Fetch<Vector128<byte>>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return Packed(c, op, source);
    }

    public static Op* ScalarRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return Scalar(c, op, *(T*)((byte*)c + op->Src));
    }

    public static Op* ScalarMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out T source))
            return VectorState.Leave(c, op);
        return Scalar(c, op, source);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Packed(VcpuContext* c, Op* op, Vector128<byte> source)
    {
        Vector128<byte> result = default;
        T* left = (T*)((byte*)c + op->Dst);
        T* right = (T*)&source;
        uint mxcsr = c->State.Mxcsr;
        int flags = 0;
        for (int i = 0; i < 16 / sizeof(T); i++)
            ((T*)&result)[i] = TFunction.Apply(left[i], right[i], mxcsr, op->Extra, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        *(Vector128<byte>*)left = result;
        return op + 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Op* Scalar(VcpuContext* c, Op* op, T source)
    {
        T* target = (T*)((byte*)c + op->Dst);
        int flags = 0;
        T result = TFunction.Apply(*target, source, c->State.Mxcsr, op->Extra, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        *target = result;
        return op + 1;
    }
}

/// <summary>Builds the packed and scalar rows of lane functions.</summary>
internal static unsafe class FloatRows
{
    public static Row Packed<TFunction, T>(Mnemonic mnemonic)
        where TFunction : struct, ILaneFunction<T>
        where T : unmanaged =>
        new(mnemonic, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            return new Handler(Operands.HasMemory(instruction)
                ? &FloatHandlers<TFunction, T>.PackedMemory
                : &FloatHandlers<TFunction, T>.PackedRegister);
        });

    public static Row Scalar<TFunction, T>(Mnemonic mnemonic)
        where TFunction : struct, ILaneFunction<T>
        where T : unmanaged =>
        new(mnemonic, (in Instruction instruction, ref Op op) =>
        {
            // CMPSD shares its mnemonic with the string instruction, which is not this row's.
            if (instruction.Op0Kind != OpKind.Register)
                return default;
            Operands.Bind(instruction, ref op);
            return new Handler(Operands.HasMemory(instruction)
                ? &FloatHandlers<TFunction, T>.ScalarMemory
                : &FloatHandlers<TFunction, T>.ScalarRegister);
        });

    /// <summary>The four rows of an arithmetic operation: PS, PD, SS, SD.</summary>
    public static Row[] Arithmetic<TOperation>(Mnemonic packedSingle, Mnemonic packedDouble, Mnemonic scalarSingle, Mnemonic scalarDouble)
        where TOperation : struct, ILaneOperation =>
    [
        Packed<Arithmetic<TOperation, float>, float>(packedSingle),
        Packed<Arithmetic<TOperation, double>, double>(packedDouble),
        Scalar<Arithmetic<TOperation, float>, float>(scalarSingle),
        Scalar<Arithmetic<TOperation, double>, double>(scalarDouble),
    ];
}
