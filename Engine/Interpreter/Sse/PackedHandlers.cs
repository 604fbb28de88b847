using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>A two-operand integer or bitwise operation over whole vectors; it can neither fault nor set flags.</summary>
internal interface IPackedOperation
{
    static abstract Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right);
}

/// <summary>A shuffle of two vectors under an immediate control byte.</summary>
internal interface IControlledOperation
{
    static abstract Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control);
}

/// <summary>How an operation's 64-bit (MMX) form follows from its 128-bit one.</summary>
internal interface IMmxForm
{
    static abstract ulong Apply<TOperation>(ulong left, ulong right)
        where TOperation : struct, IPackedOperation;
}

/// <summary>The low half of the operation on the low halves.</summary>
internal readonly struct LowHalf : IMmxForm
{
    public static ulong Apply<TOperation>(ulong left, ulong right)
        where TOperation : struct, IPackedOperation =>
        TOperation.Apply(Vector128.CreateScalar(left).AsByte(), Vector128.CreateScalar(right).AsByte()).AsUInt64().ToScalar();
}

/// <summary>The high half of the operation on the low halves: what "unpack low" leaves there is "unpack high" of 64 bits.</summary>
internal readonly struct HighHalf : IMmxForm
{
    public static ulong Apply<TOperation>(ulong left, ulong right)
        where TOperation : struct, IPackedOperation =>
        TOperation.Apply(Vector128.CreateScalar(left).AsByte(), Vector128.CreateScalar(right).AsByte()).AsUInt64().GetElement(1);
}

/// <summary>Operations that narrow two registers into one (packs): both operands side by side form the first.</summary>
internal readonly struct SideBySide : IMmxForm
{
    public static ulong Apply<TOperation>(ulong left, ulong right)
        where TOperation : struct, IPackedOperation =>
        TOperation.Apply(Vector128.Create(left, right).AsByte(), Vector128<byte>.Zero).AsUInt64().ToScalar();
}

/// <summary>XMM forms of an operation; the memory operand is <typeparamref name="TMemory"/> wide.</summary>
internal static unsafe class Xmm<TOperation, TMemory>
    where TOperation : struct, IPackedOperation
    where TMemory : unmanaged
{
    public static Op* RegisterRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        Vector128<byte>* target = (Vector128<byte>*)((byte*)c + op->Dst);
        *target = TOperation.Apply(*target, *(Vector128<byte>*)((byte*)c + op->Src));
        return op + 1;
    }

    public static Op* RegisterMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !Operands.Fetch<TMemory>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        Vector128<byte>* target = (Vector128<byte>*)((byte*)c + op->Dst);
        *target = TOperation.Apply(*target, source);
        return op + 1;
    }

    /// <summary>Shifts by an immediate count.</summary>
    public static Op* RegisterImmediate(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        Vector128<byte>* target = (Vector128<byte>*)((byte*)c + op->Dst);
        *target = TOperation.Apply(*target, Vector128.CreateScalar((ulong)op->Extra).AsByte());
        return op + 1;
    }
}

/// <summary>MMX forms of an operation.</summary>
internal static unsafe class Mmx<TOperation, TForm, TMemory>
    where TOperation : struct, IPackedOperation
    where TForm : struct, IMmxForm
    where TMemory : unmanaged
{
    public static Op* RegisterRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        return Finish(c, op, *(ulong*)((byte*)c + op->Src));
    }

    public static Op* RegisterMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c) || !Operands.Fetch<TMemory>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return Finish(c, op, source.AsUInt64().ToScalar());
    }

    public static Op* RegisterImmediate(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        return Finish(c, op, op->Extra);
    }

    private static Op* Finish(VcpuContext* c, Op* op, ulong source)
    {
        ulong value = TForm.Apply<TOperation>(*(ulong*)((byte*)c + op->Dst), source);
        VectorState.EnterMmx(c);
        VectorState.WriteMmx(c, op->Dst, value);
        return op + 1;
    }
}

/// <summary>XMM shuffles with a control byte.</summary>
internal static unsafe class XmmControlled<TOperation>
    where TOperation : struct, IControlledOperation
{
    public static Op* RegisterRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        Vector128<byte>* target = (Vector128<byte>*)((byte*)c + op->Dst);
        *target = TOperation.Apply(*target, *(Vector128<byte>*)((byte*)c + op->Src), op->Extra);
        return op + 1;
    }

    public static Op* RegisterMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !Operands.Fetch<Vector128<byte>>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        Vector128<byte>* target = (Vector128<byte>*)((byte*)c + op->Dst);
        *target = TOperation.Apply(*target, source, op->Extra);
        return op + 1;
    }
}

/// <summary>Builds rows from operations: which handler serves which operand kinds.</summary>
internal static unsafe class PackedRows
{
    /// <summary>An operation that exists for XMM registers only.</summary>
    public static Row Xmm<TOperation>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation =>
        new(mnemonic, (in Instruction instruction, ref Op op) => SelectXmm<TOperation>(instruction, ref op));

    /// <summary>An operation that exists for MMX and XMM registers.</summary>
    public static Row Both<TOperation, TForm>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation
        where TForm : struct, IMmxForm =>
        new(mnemonic, (in Instruction instruction, ref Op op) =>
            instruction.Op0Register <= Register.MM7 && instruction.Op0Register >= Register.MM0
                ? SelectMmx<TOperation, TForm, ulong>(instruction, ref op)
                : SelectXmm<TOperation>(instruction, ref op));

    /// <summary>As <see cref="Both{TOperation,TForm}"/>, the MMX form being the low half.</summary>
    public static Row Both<TOperation>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation => Both<TOperation, LowHalf>(mnemonic);

    /// <summary>"Unpack low": the MMX form reads only 32 bits of memory.</summary>
    public static Row UnpackLow<TOperation>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation =>
        new(mnemonic, (in Instruction instruction, ref Op op) =>
            instruction.Op0Register <= Register.MM7 && instruction.Op0Register >= Register.MM0
                ? SelectMmx<TOperation, LowHalf, uint>(instruction, ref op)
                : SelectXmm<TOperation>(instruction, ref op));

    /// <summary>"Unpack high": in MMX the high half of unpacking low halves (<typeparamref name="TLow"/>).</summary>
    public static Row UnpackHigh<TOperation, TLow>(Mnemonic mnemonic)
        where TOperation : struct, IPackedOperation
        where TLow : struct, IPackedOperation =>
        new(mnemonic, (in Instruction instruction, ref Op op) =>
            instruction.Op0Register <= Register.MM7 && instruction.Op0Register >= Register.MM0
                ? SelectMmx<TLow, HighHalf, ulong>(instruction, ref op)
                : SelectXmm<TOperation>(instruction, ref op));

    /// <summary>An XMM shuffle with a control byte.</summary>
    public static Row Controlled<TOperation>(Mnemonic mnemonic)
        where TOperation : struct, IControlledOperation =>
        new(mnemonic, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            return new Handler(Operands.HasMemory(instruction)
                ? &XmmControlled<TOperation>.RegisterMemory
                : &XmmControlled<TOperation>.RegisterRegister);
        });

    private static Handler SelectXmm<TOperation>(in Instruction instruction, ref Op op)
        where TOperation : struct, IPackedOperation
    {
        Operands.Bind(instruction, ref op);
        if (Operands.HasMemory(instruction))
            return new Handler(&Xmm<TOperation, Vector128<byte>>.RegisterMemory);
        return new Handler(instruction.Op1Kind == OpKind.Register
            ? &Xmm<TOperation, Vector128<byte>>.RegisterRegister
            : &Xmm<TOperation, Vector128<byte>>.RegisterImmediate);
    }

    private static Handler SelectMmx<TOperation, TForm, TMemory>(in Instruction instruction, ref Op op)
        where TOperation : struct, IPackedOperation
        where TForm : struct, IMmxForm
        where TMemory : unmanaged
    {
        Operands.Bind(instruction, ref op);
        if (Operands.HasMemory(instruction))
            return new Handler(&Mmx<TOperation, TForm, TMemory>.RegisterMemory);
        return new Handler(instruction.Op1Kind == OpKind.Register
            ? &Mmx<TOperation, TForm, TMemory>.RegisterRegister
            : &Mmx<TOperation, TForm, TMemory>.RegisterImmediate);
    }
}
