using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Unpacks, shuffles, word insertion and extraction, sign masks.</summary>
internal static unsafe class Shuffles
{
    public static readonly Row[] Rows =
    [
        PackedRows.UnpackLow<UnpackLowBytes>(Mnemonic.Punpcklbw),
        PackedRows.UnpackLow<UnpackLowWords>(Mnemonic.Punpcklwd),
        PackedRows.UnpackLow<UnpackLowDwords>(Mnemonic.Punpckldq),
        PackedRows.Xmm<UnpackLowQwords>(Mnemonic.Punpcklqdq),
        PackedRows.UnpackHigh<UnpackHighBytes, UnpackLowBytes>(Mnemonic.Punpckhbw),
        PackedRows.UnpackHigh<UnpackHighWords, UnpackLowWords>(Mnemonic.Punpckhwd),
        PackedRows.UnpackHigh<UnpackHighDwords, UnpackLowDwords>(Mnemonic.Punpckhdq),
        PackedRows.Xmm<UnpackHighQwords>(Mnemonic.Punpckhqdq),
        PackedRows.Xmm<UnpackLowDwords>(Mnemonic.Unpcklps),
        PackedRows.Xmm<UnpackHighDwords>(Mnemonic.Unpckhps),
        PackedRows.Xmm<UnpackLowQwords>(Mnemonic.Unpcklpd),
        PackedRows.Xmm<UnpackHighQwords>(Mnemonic.Unpckhpd),
        PackedRows.Controlled<ShuffleDwords>(Mnemonic.Pshufd),
        PackedRows.Controlled<ShuffleLowWords>(Mnemonic.Pshuflw),
        PackedRows.Controlled<ShuffleHighWords>(Mnemonic.Pshufhw),
        PackedRows.Controlled<ShuffleSingles>(Mnemonic.Shufps),
        PackedRows.Controlled<ShuffleDoubles>(Mnemonic.Shufpd),
        new(Mnemonic.Pshufw, (in Instruction instruction, ref Op op) => Pick(instruction, ref op, &ShuffleMmx, &ShuffleMmxMemory)),
        new(Mnemonic.Pinsrw, SelectInsert),
        new(Mnemonic.Pextrw, (in Instruction instruction, ref Op op) =>
            IsMmx(instruction.Op1Register) ? Pick(instruction, ref op, &ExtractMmx, null)
            : Pick(instruction, ref op, &Extract, null)),
        new(Mnemonic.Pmovmskb, (in Instruction instruction, ref Op op) =>
            Pick(instruction, ref op, IsMmx(instruction.Op1Register) ? &SignsOfMmx : &SignsOf<byte>, null)),
        new(Mnemonic.Movmskps, (in Instruction instruction, ref Op op) => Pick(instruction, ref op, &SignsOf<uint>, null)),
        new(Mnemonic.Movmskpd, (in Instruction instruction, ref Op op) => Pick(instruction, ref op, &SignsOf<ulong>, null)),
    ];

    private static bool IsMmx(Register register) => register is >= Register.MM0 and <= Register.MM7;

    private static Handler Pick(
        in Instruction instruction, ref Op op, delegate*<VcpuContext*, Op*, Op*> register, delegate*<VcpuContext*, Op*, Op*> memory)
    {
        Operands.Bind(instruction, ref op);
        return new Handler(Operands.HasMemory(instruction) ? memory : register);
    }

    private static Handler SelectInsert(in Instruction instruction, ref Op op) => IsMmx(instruction.Op0Register)
        ? Pick(instruction, ref op, &InsertMmx, &InsertMmxMemory)
        : Pick(instruction, ref op, &Insert, &InsertMemory);

    private static ulong ShuffleWords(ulong words, uint control)
    {
        ulong result = 0;
        for (int i = 0; i < 4; i++)
            result |= (ulong)(ushort)(words >> (int)(((control >> (2 * i)) & 3) * 16)) << (16 * i);
        return result;
    }

    private static Op* ShuffleMmx(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        ulong value = ShuffleWords(*(ulong*)((byte*)c + op->Src), op->Extra);
        VectorState.EnterMmx(c);
        VectorState.WriteMmx(c, op->Dst, value);
        return op + 1;
    }

    private static Op* ShuffleMmxMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out ulong source))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        VectorState.WriteMmx(c, op->Dst, ShuffleWords(source, op->Extra));
        return op + 1;
    }

    private static Op* Insert(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        ((ushort*)((byte*)c + op->Dst))[op->Extra & 7] = *(ushort*)((byte*)c + op->Src);
        return op + 1;
    }

    private static Op* InsertMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort word))
            return VectorState.Leave(c, op);
        ((ushort*)((byte*)c + op->Dst))[op->Extra & 7] = word;
        return op + 1;
    }

    private static Op* InsertMmx(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        return FinishInsertMmx(c, op, *(ushort*)((byte*)c + op->Src));
    }

    private static Op* InsertMmxMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out ushort word))
            return VectorState.Leave(c, op);
        return FinishInsertMmx(c, op, word);
    }

    private static Op* FinishInsertMmx(VcpuContext* c, Op* op, ushort word)
    {
        int shift = (int)(op->Extra & 3) * 16;
        ulong value = (*(ulong*)((byte*)c + op->Dst) & ~(0xfffful << shift)) | ((ulong)word << shift);
        VectorState.EnterMmx(c);
        VectorState.WriteMmx(c, op->Dst, value);
        return op + 1;
    }

    private static Op* Extract(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        *(ulong*)((byte*)c + op->Dst) = ((ushort*)((byte*)c + op->Src))[op->Extra & 7];
        return op + 1;
    }

    private static Op* ExtractMmx(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        *(ulong*)((byte*)c + op->Dst) = ((ushort*)((byte*)c + op->Src))[op->Extra & 3];
        return op + 1;
    }

    private static Op* SignsOf<T>(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        *(ulong*)((byte*)c + op->Dst) = (*(Vector128<byte>*)((byte*)c + op->Src)).As<byte, T>().ExtractMostSignificantBits();
        return op + 1;
    }

    private static Op* SignsOfMmx(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        *(ulong*)((byte*)c + op->Dst) = Vector128.CreateScalar(*(ulong*)((byte*)c + op->Src)).AsByte().ExtractMostSignificantBits();
        return op + 1;
    }

    // Interleaving is widening one vector and shifting the other's widened elements above it.
    internal readonly struct UnpackLowBytes : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            (Vector128.WidenLower(left) | (Vector128.WidenLower(right) << 8)).AsByte();
    }

    internal readonly struct UnpackHighBytes : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            (Vector128.WidenUpper(left) | (Vector128.WidenUpper(right) << 8)).AsByte();
    }

    internal readonly struct UnpackLowWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            (Vector128.WidenLower(left.AsUInt16()) | (Vector128.WidenLower(right.AsUInt16()) << 16)).AsByte();
    }

    internal readonly struct UnpackHighWords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            (Vector128.WidenUpper(left.AsUInt16()) | (Vector128.WidenUpper(right.AsUInt16()) << 16)).AsByte();
    }

    internal readonly struct UnpackLowDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            (Vector128.WidenLower(left.AsUInt32()) | (Vector128.WidenLower(right.AsUInt32()) << 32)).AsByte();
    }

    internal readonly struct UnpackHighDwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            (Vector128.WidenUpper(left.AsUInt32()) | (Vector128.WidenUpper(right.AsUInt32()) << 32)).AsByte();
    }

    internal readonly struct UnpackLowQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.Create(left.GetLower(), right.GetLower());
    }

    internal readonly struct UnpackHighQwords : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => Vector128.Create(left.GetUpper(), right.GetUpper());
    }

    internal readonly struct ShuffleDwords : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control) =>
            Vector128.Shuffle(right.AsUInt32(), Vector128.Create(control & 3, (control >> 2) & 3, (control >> 4) & 3, (control >> 6) & 3)).AsByte();
    }

    internal readonly struct ShuffleLowWords : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control) =>
            right.AsUInt64().WithElement(0, ShuffleWords(right.AsUInt64().ToScalar(), control)).AsByte();
    }

    internal readonly struct ShuffleHighWords : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control) =>
            right.AsUInt64().WithElement(1, ShuffleWords(right.AsUInt64().GetElement(1), control)).AsByte();
    }

    internal readonly struct ShuffleSingles : IControlledOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control)
        {
            uint* l = (uint*)&left;
            uint* r = (uint*)&right;
            return Vector128.Create(l[control & 3], l[(control >> 2) & 3], r[(control >> 4) & 3], r[(control >> 6) & 3]).AsByte();
        }
    }

    internal readonly struct ShuffleDoubles : IControlledOperation
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control)
        {
            ulong* l = (ulong*)&left;
            ulong* r = (ulong*)&right;
            return Vector128.Create(l[control & 1], r[(control >> 1) & 1]).AsByte();
        }
    }
}
