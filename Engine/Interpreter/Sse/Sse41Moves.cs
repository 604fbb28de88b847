using System.Numerics;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Blends, insertions and extractions of SSE4.1; LDDQU and MOVNTDQA.</summary>
internal static unsafe class Sse41Moves
{
    public static readonly Row[] Rows =
    [
        PackedRows.Controlled<Blend<ushort>>(Mnemonic.Pblendw),
        PackedRows.Controlled<Blend<uint>>(Mnemonic.Blendps),
        PackedRows.Controlled<Blend<ulong>>(Mnemonic.Blendpd),
        Variable<sbyte>(Mnemonic.Pblendvb), Variable<int>(Mnemonic.Blendvps), Variable<long>(Mnemonic.Blendvpd),
        Insertion<byte>(Mnemonic.Pinsrb), Insertion<uint>(Mnemonic.Pinsrd), Insertion<ulong>(Mnemonic.Pinsrq),
        Extraction<byte>(Mnemonic.Pextrb), Extraction<uint>(Mnemonic.Pextrd), Extraction<ulong>(Mnemonic.Pextrq),
        Extraction<uint>(Mnemonic.Extractps),
        new(Mnemonic.Pextrw, (in Instruction instruction, ref Op op) =>
            instruction.Code is Code.Pextrw_r32m16_xmm_imm8 or Code.Pextrw_r64m16_xmm_imm8 ? SelectExtraction<ushort>(instruction, ref op) : default),
        new(Mnemonic.Insertps, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            return new Handler(Operands.HasMemory(instruction) ? &InsertSingleMemory : &InsertSingleRegister);
        }),
        new(Mnemonic.Movntdqa, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            return new Handler(&Xmm<Replace, Vector128<byte>>.RegisterMemory);
        }),
        new(Mnemonic.Lddqu, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            return new Handler(&LoadUnaligned);
        }),
    ];

    private static Op* LoadUnaligned(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out Vector128<byte> source))
            return VectorState.Leave(c, op);
        *(Vector128<byte>*)((byte*)c + op->Dst) = source;
        return op + 1;
    }

    /// <summary>The mask is XMM0: each element's highest bit takes the second operand's.</summary>
    private static Row Variable<T>(Mnemonic mnemonic)
        where T : unmanaged, IBinaryInteger<T> => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        op.Third = Operands.Offset(Register.XMM0);
        return new Handler(Operands.HasMemory(instruction) ? &VariableMemory<T> : &VariableRegister<T>);
    });

    private static Op* VariableRegister<T>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return FinishVariable<T>(c, op, *(Vector128<byte>*)((byte*)c + op->Src));
    }

    private static Op* VariableMemory<T>(VcpuContext* c, Op* op)
        where T : unmanaged, IBinaryInteger<T>
    {
        if (!VectorState.SseReady(c) || !Operands.Fetch<Vector128<byte>>(c, op, out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return FinishVariable<T>(c, op, source);
    }

    private static Op* FinishVariable<T>(VcpuContext* c, Op* op, Vector128<byte> source)
        where T : unmanaged, IBinaryInteger<T>
    {
        Vector128<T> mask = Vector128.LessThan((*(Vector128<byte>*)((byte*)c + op->Third)).As<byte, T>(), Vector128<T>.Zero);
        Vector128<T>* target = (Vector128<T>*)((byte*)c + op->Dst);
        *target = Vector128.ConditionalSelect(mask, source.As<byte, T>(), *target);
        return op + 1;
    }

    private static Row Insertion<T>(Mnemonic mnemonic)
        where T : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        op.Extra &= (uint)(16 / sizeof(T) - 1);
        return new Handler(Operands.HasMemory(instruction) ? &InsertMemory<T> : &InsertRegister<T>);
    });

    private static Op* InsertRegister<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        ((T*)((byte*)c + op->Dst))[op->Extra] = *(T*)((byte*)c + op->Src);
        return op + 1;
    }

    private static Op* InsertMemory<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out T value))
            return VectorState.Leave(c, op);
        ((T*)((byte*)c + op->Dst))[op->Extra] = value;
        return op + 1;
    }

    private static Row Extraction<T>(Mnemonic mnemonic)
        where T : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) => SelectExtraction<T>(instruction, ref op));

    private static Handler SelectExtraction<T>(in Instruction instruction, ref Op op)
        where T : unmanaged
    {
        Operands.Bind(instruction, ref op);
        op.Extra &= (uint)(16 / sizeof(T) - 1);
        return new Handler(Operands.HasMemory(instruction) ? &ExtractMemory<T> : &ExtractRegister<T>);
    }

    private static Op* ExtractRegister<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        T value = ((T*)((byte*)c + op->Src))[op->Extra];
        *(ulong*)((byte*)c + op->Dst) = 0;
        *(T*)((byte*)c + op->Dst) = value;
        return op + 1;
    }

    private static Op* ExtractMemory<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Store(c, GuestAccess.Address(c, op), ((T*)((byte*)c + op->Src))[op->Extra]))
            return VectorState.Leave(c, op);
        return op + 1;
    }

    private static Op* InsertSingleRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return FinishInsertSingle(c, op, ((uint*)((byte*)c + op->Src))[op->Extra >> 6]);
    }

    private static Op* InsertSingleMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out uint value))
            return VectorState.Leave(c, op);
        return FinishInsertSingle(c, op, value);
    }

    /// <summary>Bits 4-5 of the control choose the target lane, bits 0-3 lanes to clear.</summary>
    private static Op* FinishInsertSingle(VcpuContext* c, Op* op, uint value)
    {
        uint* target = (uint*)((byte*)c + op->Dst);
        target[op->Extra >> 4 & 3] = value;
        for (int i = 0; i < 4; i++)
        {
            if ((op->Extra >> i & 1) != 0)
                target[i] = 0;
        }
        return op + 1;
    }

    internal readonly struct Replace : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) => right;
    }

    /// <summary>Bit i of the control takes element i of the second operand.</summary>
    internal readonly struct Blend<T> : IControlledOperation
        where T : unmanaged
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control)
        {
            Vector128<byte> result = left;
            for (int i = 0; i < 16 / sizeof(T); i++)
            {
                if ((control >> i & 1) != 0)
                    ((T*)&result)[i] = ((T*)&right)[i];
            }
            return result;
        }
    }
}
