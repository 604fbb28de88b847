using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>The VEX forms of an operation on whole vectors; with 256 bits, on each half.</summary>
internal readonly unsafe struct VexPacked<TOperation> : IVexForms
    where TOperation : struct, IPackedOperation
{
    public static Handler For<TSource, TWidth>()
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

    private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
    {
        if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> right))
            return VectorState.Leave(c, op);
        Vector256<byte> left = VexForm.First(c, op);
        return VexForm.Write(c, op, TOperation.Apply(left.GetLower(), right.GetLower()),
            TWidth.Is256 ? TOperation.Apply(left.GetUpper(), right.GetUpper()) : default);
    }
}

/// <summary>Shifts by a count that is the same for all elements: 128 bits of register or memory whatever the length, or the immediate.</summary>
internal readonly unsafe struct VexShift<TOperation> : IVexForms
    where TOperation : struct, IPackedOperation
{
    public static Handler For<TSource, TWidth>()
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

    public static Handler Select(in Instruction instruction, ref Op op)
    {
        if (instruction.Op2Kind != OpKind.Immediate8)
            return VexForm.Pick<VexShift<TOperation>>(instruction, ref op);
        VexForm.Bind(instruction, ref op);
        op.Third = op.Src;
        return VexForm.Is256(instruction) ? For<ControlCount, Vex256>() : For<ControlCount, Vex128>();
    }

    private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
    {
        if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out Vector128<byte> count))
            return VectorState.Leave(c, op);
        Vector256<byte> left = VexForm.First(c, op);
        return VexForm.Write(c, op, TOperation.Apply(left.GetLower(), count), TWidth.Is256 ? TOperation.Apply(left.GetUpper(), count) : default);
    }

    private readonly struct ControlCount : ISource
    {
        public static bool Read<T>(VcpuContext* c, Op* op, out T value)
            where T : unmanaged
        {
            Vector128<ulong> count = Vector128.CreateScalar((ulong)op->Extra);
            value = *(T*)&count;
            return true;
        }
    }
}

/// <summary>
/// Shuffles under a control byte. The upper half's control is the same or, where elements have bits of their own, the
/// byte shifted; it stands in bits 8 to 15 of <see cref="Op.Extra"/>.
/// </summary>
internal readonly unsafe struct VexControlled<TOperation> : IVexForms
    where TOperation : struct, IControlledOperation
{
    public static Handler For<TSource, TWidth>()
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

    private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
    {
        if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> right))
            return VectorState.Leave(c, op);
        Vector256<byte> left = VexForm.First(c, op);
        return VexForm.Write(c, op, TOperation.Apply(left.GetLower(), right.GetLower(), (byte)op->Extra),
            TWidth.Is256 ? TOperation.Apply(left.GetUpper(), right.GetUpper(), op->Extra >> 8) : default);
    }
}

/// <summary>A floating-point function on all lanes.</summary>
internal readonly unsafe struct VexLanes<TFunction, T> : IVexForms
    where TFunction : struct, ILaneFunction<T>
    where T : unmanaged
{
    public static Handler For<TSource, TWidth>()
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

    private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
    {
        if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> right))
            return VectorState.Leave(c, op);
        Vector256<byte> left = VexForm.First(c, op), result = default;
        uint mxcsr = c->State.Mxcsr;
        int flags = 0;
        for (int i = 0; i < (TWidth.Is256 ? 32 : 16) / sizeof(T); i++)
            ((T*)&result)[i] = TFunction.Apply(((T*)&left)[i], ((T*)&right)[i], mxcsr, op->Extra, ref flags);
        if (!FloatLane.Commit(c, flags))
            return VectorState.Leave(c, op);
        *(Vector256<byte>*)((byte*)c + op->Dst) = result;
        return op + 1;
    }
}

/// <summary>A floating-point function on the lowest lane; the first source has the others, up to 128 bits.</summary>
internal readonly unsafe struct VexScalar<TFunction, T> : IVexForms
    where TFunction : struct, ILaneFunction<T>
    where T : unmanaged
{
    public static Handler For<TSource, TWidth>()
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth => new(&Execute<TSource>);

    private static Op* Execute<TSource>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
    {
        if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out T right))
            return VectorState.Leave(c, op);
        Vector128<byte> result = VexForm.First(c, op).GetLower();
        int flags = 0;
        *(T*)&result = TFunction.Apply(*(T*)&result, right, c->State.Mxcsr, op->Extra, ref flags);
        return FloatLane.Commit(c, flags) ? VexForm.Write(c, op, result) : VectorState.Leave(c, op);
    }
}

/// <summary>Floating-point functions of whole vectors, on each half.</summary>
internal readonly unsafe struct VexVectors<TFunction> : IVexForms
    where TFunction : struct, Horizontal.IVectorFunction
{
    public static Handler For<TSource, TWidth>()
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth => new(&Execute<TSource, TWidth>);

    private static Op* Execute<TSource, TWidth>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where TWidth : struct, IVexWidth
    {
        if (!VectorState.AvxReady(c) || !VexForm.Read<TSource, TWidth>(c, op, out Vector256<byte> right))
            return VectorState.Leave(c, op);
        Vector256<byte> left = VexForm.First(c, op);
        int low = 0, high = 0;
        Vector128<byte> lower = TFunction.Apply(left.GetLower(), right.GetLower(), op->Extra, c->State.Mxcsr, ref low);
        Vector128<byte> upper = TWidth.Is256 ? TFunction.Apply(left.GetUpper(), right.GetUpper(), op->Extra, c->State.Mxcsr, ref high) : default;
        return FloatLane.Commit(c, low | high) ? VexForm.Write(c, op, lower, upper) : VectorState.Leave(c, op);
    }
}

/// <summary>Builds rows of VEX forms.</summary>
internal static class VexRows
{
    public static Row Packed<TOperation>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation => Of<VexPacked<TOperation>>(mnemonic);

    public static Row Shift<TOperation>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation => new(mnemonic, VexShift<TOperation>.Select);

    /// <param name="mnemonic">The instruction.</param>
    /// <param name="bits">Bits of the control byte that belong to the lower half alone; 0: all count for both.</param>
    public static Row Controlled<TOperation>(Mnemonic mnemonic, int bits = 0)
        where TOperation : struct, IControlledOperation => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Handler handler = VexForm.Pick<VexControlled<TOperation>>(instruction, ref op);
        op.Extra |= op.Extra >> bits << 8;
        return handler;
    });

    public static Row Lanes<TFunction, T>(Mnemonic mnemonic)
        where TFunction : struct, ILaneFunction<T>
        where T : unmanaged => Of<VexLanes<TFunction, T>>(mnemonic);

    public static Row Scalar<TFunction, T>(Mnemonic mnemonic)
        where TFunction : struct, ILaneFunction<T>
        where T : unmanaged => Of<VexScalar<TFunction, T>>(mnemonic);

    public static Row Of<TForms>(Mnemonic mnemonic)
        where TForms : struct, IVexForms => new(mnemonic, VexForm.Pick<TForms>);

    /// <summary>The four rows of an arithmetic operation: PS, PD, SS, SD.</summary>
    public static Row[] Arithmetic<TOperation>(Mnemonic packedSingle, Mnemonic packedDouble, Mnemonic scalarSingle, Mnemonic scalarDouble)
        where TOperation : struct, ILaneOperation =>
    [
        Lanes<Arithmetic<TOperation, float>, float>(packedSingle),
        Lanes<Arithmetic<TOperation, double>, double>(packedDouble),
        Scalar<Arithmetic<TOperation, float>, float>(scalarSingle),
        Scalar<Arithmetic<TOperation, double>, double>(scalarDouble),
    ];
}
