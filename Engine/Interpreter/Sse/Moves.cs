using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Data movement (MMX, SSE, SSE2): whole registers, halves, scalars, non-temporal and masked stores.</summary>
internal static unsafe class Moves
{
    /// <summary>Rows. Movsd is also the string instruction's mnemonic: its row answers for the SSE2 forms only.</summary>
    public static readonly Row[] Rows =
    [
        Aligned(Mnemonic.Movaps), Aligned(Mnemonic.Movapd), Aligned(Mnemonic.Movdqa),
        Aligned(Mnemonic.Movntps), Aligned(Mnemonic.Movntpd), Aligned(Mnemonic.Movntdq),
        Unaligned(Mnemonic.Movups), Unaligned(Mnemonic.Movupd), Unaligned(Mnemonic.Movdqu),
        Half(Mnemonic.Movlps, 0, 0), Half(Mnemonic.Movlpd, 0, 0), Half(Mnemonic.Movhps, 8, 8), Half(Mnemonic.Movhpd, 8, 8),
        Half(Mnemonic.Movlhps, 8, 0), Half(Mnemonic.Movhlps, 0, 8),
        new(Mnemonic.Movss, SelectScalar<uint>),
        new(Mnemonic.Movsd, (in Instruction instruction, ref Op op) =>
            instruction.Code is Code.Movsd_xmm_xmmm64 or Code.Movsd_xmmm64_xmm ? SelectScalar<ulong>(instruction, ref op) : default),
        new(Mnemonic.Movd, SelectMovd),
        new(Mnemonic.Movq, SelectMovq),
        new(Mnemonic.Movq2dq, (in Instruction instruction, ref Op op) => Bound(instruction, ref op, &MmxToXmm)),
        new(Mnemonic.Movdq2q, (in Instruction instruction, ref Op op) => Bound(instruction, ref op, &XmmToMmx)),
        new(Mnemonic.Movntq, (in Instruction instruction, ref Op op) => Bound(instruction, ref op, &MmxTransfer<ulong>.Store)),
        new(Mnemonic.Movnti, (in Instruction instruction, ref Op op) =>
            Bound(instruction, ref op, instruction.Code == Code.Movnti_m64_r64 ? &StoreGeneral<ulong> : &StoreGeneral<uint>)),
        new(Mnemonic.Maskmovdqu, (in Instruction instruction, ref Op op) => SelectMasked(instruction, ref op, &MaskedStore)),
        new(Mnemonic.Maskmovq, (in Instruction instruction, ref Op op) => SelectMasked(instruction, ref op, &MaskedStoreMmx)),
    ];

    private static Handler Bound(in Instruction instruction, ref Op op, delegate*<VcpuContext*, Op*, Op*> handler)
    {
        Operands.Bind(instruction, ref op);
        return new Handler(handler);
    }

    private static Row Aligned(Mnemonic mnemonic) => new(mnemonic, (in Instruction instruction, ref Op op) =>
        Bound(instruction, ref op, instruction.Op0Kind == OpKind.Memory ? &XmmTransfer.StoreAligned
            : instruction.Op1Kind == OpKind.Memory ? &XmmTransfer.LoadAligned : &Part<UInt128>.Register));

    private static Row Unaligned(Mnemonic mnemonic) => new(mnemonic, (in Instruction instruction, ref Op op) =>
        Bound(instruction, ref op, instruction.Op0Kind == OpKind.Memory ? &Part<UInt128>.Store
            : instruction.Op1Kind == OpKind.Memory ? &Part<UInt128>.Load : &Part<UInt128>.Register));

    /// <summary>Moves of 8 bytes that leave the target's other half; the offsets choose the halves.</summary>
    private static Row Half(Mnemonic mnemonic, ushort target, ushort source) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        op.Dst += target;
        op.Src += source;
        return new Handler(instruction.Op0Kind == OpKind.Memory ? &Part<ulong>.Store
            : instruction.Op1Kind == OpKind.Memory ? &Part<ulong>.Load : &Part<ulong>.Register);
    });

    /// <summary>MOVSS and MOVSD: a load clears the rest of the register, a register move leaves it.</summary>
    private static Handler SelectScalar<T>(in Instruction instruction, ref Op op)
        where T : unmanaged =>
        Bound(instruction, ref op, instruction.Op0Kind == OpKind.Memory ? &Part<T>.Store
            : instruction.Op1Kind == OpKind.Memory ? &Extended<T>.Load : &Part<T>.Register);

    private static Handler SelectMovd(in Instruction instruction, ref Op op)
    {
        Operands.Bind(instruction, ref op);
        bool memory = Operands.HasMemory(instruction);
        return new Handler(instruction.Code switch
        {
            Code.Movd_xmm_rm32 => memory ? &Extended<uint>.Load : &Extended<uint>.Register,
            Code.Movd_rm32_xmm => memory ? &Part<uint>.Store : &ToGeneral<uint>,
            Code.Movd_mm_rm32 => memory ? &MmxTransfer<uint>.Load : &MmxTransfer<uint>.Register,
            Code.Movd_rm32_mm => memory ? &MmxTransfer<uint>.Store : &MmxTransfer<uint>.ToGeneral,
            _ => null,
        });
    }

    private static Handler SelectMovq(in Instruction instruction, ref Op op)
    {
        Operands.Bind(instruction, ref op);
        bool memory = Operands.HasMemory(instruction);
        return new Handler(instruction.Code switch
        {
            Code.Movq_xmm_rm64 or Code.Movq_xmm_xmmm64 => memory ? &Extended<ulong>.Load : &Extended<ulong>.Register,
            Code.Movq_xmmm64_xmm => memory ? &Part<ulong>.Store : &Extended<ulong>.Register,
            Code.Movq_rm64_xmm => memory ? &Part<ulong>.Store : &ToGeneral<ulong>,
            Code.Movq_mm_rm64 or Code.Movq_mm_mmm64 => memory ? &MmxTransfer<ulong>.Load : &MmxTransfer<ulong>.Register,
            Code.Movq_mmm64_mm => memory ? &MmxTransfer<ulong>.Store : &MmxTransfer<ulong>.Register,
            Code.Movq_rm64_mm => memory ? &MmxTransfer<ulong>.Store : &MmxTransfer<ulong>.ToGeneral,
            _ => null,
        });
    }

    // The implicit memory operand is at rDI in DS (or an override); its registers are operands 1 and 2.
    private static Handler SelectMasked(in Instruction instruction, ref Op op, delegate*<VcpuContext*, Op*, Op*> handler)
    {
        BindMasked(instruction, ref op);
        return new Handler(handler);
    }

    /// <summary>Binds the operands of a masked store at rDI: the data in <see cref="Op.Src"/>, the mask in <see cref="Op.Third"/>.</summary>
    internal static void BindMasked(in Instruction instruction, ref Op op)
    {
        op.Src = Operands.Offset(instruction.Op1Register);
        op.Third = Operands.Offset(instruction.Op2Register);
        op.Base = Gpr.RDI * 8;
        op.Index = Operands.Zero;
        op.Displacement = 0;
        op.AddressSize = instruction.Op0Kind switch { OpKind.MemorySegRDI => 8, OpKind.MemorySegEDI => 4, _ => 2 };
        op.SegmentBase = Operands.SegmentBase(instruction.MemorySegment, instruction.CodeSize);
    }

    private static Op* ToGeneral<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        *(ulong*)((byte*)c + op->Dst) = sizeof(T) == 8 ? *(ulong*)((byte*)c + op->Src) : *(uint*)((byte*)c + op->Src);
        return op + 1;
    }

    // MOVNTI has no SSE operand: neither CR0 nor CR4 can forbid it.
    private static Op* StoreGeneral<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!GuestAccess.Store(c, GuestAccess.Address(c, op), *(T*)((byte*)c + op->Src)))
            return VectorState.Leave(c, op);
        return op + 1;
    }

    private static Op* MmxToXmm(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseAndMmxReady(c))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        *(UInt128*)((byte*)c + op->Dst) = *(ulong*)((byte*)c + op->Src);
        return op + 1;
    }

    private static Op* XmmToMmx(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseAndMmxReady(c))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        VectorState.WriteMmx(c, op->Dst, *(ulong*)((byte*)c + op->Src));
        return op + 1;
    }

    private static Op* MaskedStore(VcpuContext* c, Op* op) =>
        VectorState.SseReady(c) && StoreMasked(c, op, 16) ? op + 1 : VectorState.Leave(c, op);

    private static Op* MaskedStoreMmx(VcpuContext* c, Op* op)
    {
        if (!VectorState.MmxReady(c) || !StoreMasked(c, op, 8))
            return VectorState.Leave(c, op);
        VectorState.EnterMmx(c);
        return op + 1;
    }

    // Bytes before a fault may have been stored; the restarted instruction stores them again.
    internal static bool StoreMasked(VcpuContext* c, Op* op, int count)
    {
        ulong address = GuestAccess.Address(c, op);
        byte* source = (byte*)c + op->Src;
        byte* mask = (byte*)c + op->Third;
        for (int i = 0; i < count; i++)
        {
            if ((mask[i] & 0x80) != 0 && !GuestAccess.Store(c, address + (ulong)i, source[i]))
                return false;
        }
        return true;
    }

    /// <summary>Moves that write exactly <typeparamref name="T"/> and leave the rest of the target.</summary>
    private static class Part<T>
        where T : unmanaged
    {
        public static Op* Register(VcpuContext* c, Op* op)
        {
            if (!VectorState.SseReady(c))
                return VectorState.Leave(c, op);
            *(T*)((byte*)c + op->Dst) = *(T*)((byte*)c + op->Src);
            return op + 1;
        }

        public static Op* Load(VcpuContext* c, Op* op)
        {
            if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out T value))
                return VectorState.Leave(c, op);
            *(T*)((byte*)c + op->Dst) = value;
            return op + 1;
        }

        public static Op* Store(VcpuContext* c, Op* op)
        {
            if (!VectorState.SseReady(c) || !GuestAccess.Store(c, GuestAccess.Address(c, op), *(T*)((byte*)c + op->Src)))
                return VectorState.Leave(c, op);
            return op + 1;
        }
    }

    /// <summary>Moves to an XMM register that clear what they do not write.</summary>
    private static class Extended<T>
        where T : unmanaged
    {
        public static Op* Register(VcpuContext* c, Op* op)
        {
            if (!VectorState.SseReady(c))
                return VectorState.Leave(c, op);
            *(UInt128*)((byte*)c + op->Dst) = sizeof(T) == 8 ? *(ulong*)((byte*)c + op->Src) : *(uint*)((byte*)c + op->Src);
            return op + 1;
        }

        public static Op* Load(VcpuContext* c, Op* op)
        {
            if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out T value))
                return VectorState.Leave(c, op);
            *(UInt128*)((byte*)c + op->Dst) = sizeof(T) == 8 ? *(ulong*)&value : *(uint*)&value;
            return op + 1;
        }
    }

    /// <summary>16-byte moves whose memory operand must be aligned.</summary>
    private static class XmmTransfer
    {
        public static Op* LoadAligned(VcpuContext* c, Op* op)
        {
            if (!VectorState.SseReady(c))
                return VectorState.Leave(c, op);
            ulong address = GuestAccess.Address(c, op);
            if ((address & 15) != 0)
                return VectorState.LeaveProtection(c, op);
            if (!GuestAccess.Load(c, address, out UInt128 value))
                return VectorState.Leave(c, op);
            *(UInt128*)((byte*)c + op->Dst) = value;
            return op + 1;
        }

        public static Op* StoreAligned(VcpuContext* c, Op* op)
        {
            if (!VectorState.SseReady(c))
                return VectorState.Leave(c, op);
            ulong address = GuestAccess.Address(c, op);
            if ((address & 15) != 0)
                return VectorState.LeaveProtection(c, op);
            if (!GuestAccess.Store(c, address, *(UInt128*)((byte*)c + op->Src)))
                return VectorState.Leave(c, op);
            return op + 1;
        }
    }

    /// <summary>MMX register moves of 4 (zero-extending) or 8 bytes.</summary>
    private static class MmxTransfer<T>
        where T : unmanaged
    {
        public static Op* Register(VcpuContext* c, Op* op)
        {
            if (!VectorState.MmxReady(c))
                return VectorState.Leave(c, op);
            ulong value = sizeof(T) == 8 ? *(ulong*)((byte*)c + op->Src) : *(uint*)((byte*)c + op->Src);
            VectorState.EnterMmx(c);
            VectorState.WriteMmx(c, op->Dst, value);
            return op + 1;
        }

        public static Op* Load(VcpuContext* c, Op* op)
        {
            if (!VectorState.MmxReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out T value))
                return VectorState.Leave(c, op);
            VectorState.EnterMmx(c);
            VectorState.WriteMmx(c, op->Dst, sizeof(T) == 8 ? *(ulong*)&value : *(uint*)&value);
            return op + 1;
        }

        public static Op* Store(VcpuContext* c, Op* op)
        {
            if (!VectorState.MmxReady(c) || !GuestAccess.Store(c, GuestAccess.Address(c, op), *(T*)((byte*)c + op->Src)))
                return VectorState.Leave(c, op);
            VectorState.EnterMmx(c);
            return op + 1;
        }

        public static Op* ToGeneral(VcpuContext* c, Op* op)
        {
            if (!VectorState.MmxReady(c))
                return VectorState.Leave(c, op);
            VectorState.EnterMmx(c);
            *(ulong*)((byte*)c + op->Dst) = sizeof(T) == 8 ? *(ulong*)((byte*)c + op->Src) : *(uint*)((byte*)c + op->Src);
            return op + 1;
        }
    }
}
