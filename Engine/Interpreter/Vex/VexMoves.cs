using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>Data movement (AVX): whole registers, halves, scalars, to and from general registers, sign masks, VZEROUPPER.</summary>
internal static unsafe class VexMoves
{
    public static readonly Row[] Rows =
    [
        Whole(Mnemonic.Vmovaps, aligned: true), Whole(Mnemonic.Vmovapd, aligned: true), Whole(Mnemonic.Vmovdqa, aligned: true),
        Whole(Mnemonic.Vmovntps, aligned: true), Whole(Mnemonic.Vmovntpd, aligned: true), Whole(Mnemonic.Vmovntdq, aligned: true),
        Whole(Mnemonic.Vmovntdqa, aligned: true),
        Whole(Mnemonic.Vmovups, aligned: false), Whole(Mnemonic.Vmovupd, aligned: false), Whole(Mnemonic.Vmovdqu, aligned: false),
        Whole(Mnemonic.Vlddqu, aligned: false),
        Half(Mnemonic.Vmovlps, 0, 0), Half(Mnemonic.Vmovlpd, 0, 0), Half(Mnemonic.Vmovhps, 8, 8), Half(Mnemonic.Vmovhpd, 8, 8),
        Half(Mnemonic.Vmovlhps, 8, 0), Half(Mnemonic.Vmovhlps, 0, 8),
        new(Mnemonic.Vmovss, SelectScalar<uint>), new(Mnemonic.Vmovsd, SelectScalar<ulong>),
        new(Mnemonic.Vmovd, SelectQuad), new(Mnemonic.Vmovq, SelectQuad),
        Signs<byte>(Mnemonic.Vpmovmskb), Signs<uint>(Mnemonic.Vmovmskps), Signs<ulong>(Mnemonic.Vmovmskpd),
        new(Mnemonic.Vmaskmovdqu, SelectMasked),
        new(Mnemonic.Vldmxcsr, (in Instruction instruction, ref Op op) => new(&LoadControl)),
        new(Mnemonic.Vstmxcsr, (in Instruction instruction, ref Op op) => new(&StoreControl)),
        new(Mnemonic.Vzeroupper, (in Instruction instruction, ref Op op) => new(&ZeroUpper)),
        new(Mnemonic.Vzeroall, (in Instruction instruction, ref Op op) => new(&ZeroAll)),
    ];

    private static Row Whole(Mnemonic mnemonic, bool aligned) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        VexForm.Bind(instruction, ref op);
        op.Extra = aligned ? (VexForm.Is256(instruction) ? 31u : 15u) : 0;
        if (instruction.Op0Kind == OpKind.Memory)
            return VexForm.Is256(instruction) ? new(&StoreWhole<Vector256<byte>>) : new(&StoreWhole<Vector128<byte>>);
        return VexForm.Pick<Load>(instruction, ref op);
    });

    private readonly struct Load : IVexForms
    {
        public static Handler For<TSource, TWidth>()
            where TSource : struct, ISource
            where TWidth : struct, IVexWidth =>
            typeof(TSource) == typeof(MemorySource) ? new(&FromMemory<TWidth>) : new(&FromRegister<TWidth>);

        private static Op* FromRegister<TWidth>(VcpuContext* c, Op* op)
            where TWidth : struct, IVexWidth
        {
            if (!VectorState.AvxReady(c))
                return VectorState.Leave(c, op);
            VexForm.Read<RegisterSource, TWidth>(c, op, out Vector256<byte> value);
            return VexForm.Write(c, op, value.GetLower(), TWidth.Is256 ? value.GetUpper() : default);
        }

        private static Op* FromMemory<TWidth>(VcpuContext* c, Op* op)
            where TWidth : struct, IVexWidth
        {
            if (!VectorState.AvxReady(c))
                return VectorState.Leave(c, op);
            if ((GuestAccess.Address(c, op) & op->Extra) != 0)
                return VectorState.LeaveProtection(c, op);
            if (!VexForm.Read<MemorySource, TWidth>(c, op, out Vector256<byte> value))
                return VectorState.Leave(c, op);
            return VexForm.Write(c, op, value.GetLower(), TWidth.Is256 ? value.GetUpper() : default);
        }
    }

    private static Op* StoreWhole<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        ulong address = GuestAccess.Address(c, op);
        if ((address & op->Extra) != 0)
            return VectorState.LeaveProtection(c, op);
        return GuestAccess.Store(c, address, *(T*)((byte*)c + op->Src)) ? op + 1 : VectorState.Leave(c, op);
    }

    /// <summary>Puts 8 bytes into a half of the first source; the offsets choose the halves.</summary>
    private static Row Half(Mnemonic mnemonic, uint target, ushort source) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        VexForm.Bind(instruction, ref op);
        op.Extra = target;
        op.Src += source;
        if (instruction.Op0Kind == OpKind.Memory)
            return new(&StorePart<ulong>);
        return VexForm.HasMemory(instruction) ? new(&Insert<MemorySource, ulong>) : new(&Insert<RegisterSource, ulong>);
    });

    private static Handler SelectScalar<T>(in Instruction instruction, ref Op op)
        where T : unmanaged
    {
        VexForm.Bind(instruction, ref op);
        op.Extra = 0;
        if (instruction.Op0Kind == OpKind.Memory)
            return new(&StorePart<T>);
        return VexForm.HasMemory(instruction) ? new(&Extend<MemorySource, T>) : new(&Insert<RegisterSource, T>);
    }

    private static Handler SelectQuad(in Instruction instruction, ref Op op)
    {
        VexForm.Bind(instruction, ref op);
        bool memory = VexForm.HasMemory(instruction);
        switch (instruction.Code)
        {
            case Code.VEX_Vmovd_xmm_rm32:
                return memory ? new(&Extend<MemorySource, uint>) : new(&Extend<RegisterSource, uint>);
            case Code.VEX_Vmovq_xmm_rm64 or Code.VEX_Vmovq_xmm_xmmm64:
                return memory ? new(&Extend<MemorySource, ulong>) : new(&Extend<RegisterSource, ulong>);
            case Code.VEX_Vmovd_rm32_xmm:
                return memory ? new(&StorePart<uint>) : new(&ToGeneral<uint>);
            case Code.VEX_Vmovq_rm64_xmm:
                return memory ? new(&StorePart<ulong>) : new(&ToGeneral<ulong>);
            case Code.VEX_Vmovq_xmmm64_xmm:
                return memory ? new(&StorePart<ulong>) : new(&Extend<RegisterSource, ulong>);
            default:
                return default;
        }
    }

    private static Op* StorePart<T>(VcpuContext* c, Op* op)
        where T : unmanaged =>
        VectorState.AvxReady(c) && GuestAccess.Store(c, GuestAccess.Address(c, op), *(T*)((byte*)c + op->Src)) ? op + 1 : VectorState.Leave(c, op);

    private static Op* Insert<TSource, T>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out T value))
            return VectorState.Leave(c, op);
        Vector128<byte> result = VexForm.First(c, op).GetLower();
        *(T*)((byte*)&result + op->Extra) = value;
        return VexForm.Write(c, op, result);
    }

    private static Op* Extend<TSource, T>(VcpuContext* c, Op* op)
        where TSource : struct, ISource
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c) || !TSource.Read(c, op, out T value))
            return VectorState.Leave(c, op);
        Vector128<byte> result = default;
        *(T*)&result = value;
        return VexForm.Write(c, op, result);
    }

    private static Op* ToGeneral<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        *(ulong*)((byte*)c + op->Dst) = sizeof(T) == 8 ? *(ulong*)((byte*)c + op->Src) : *(uint*)((byte*)c + op->Src);
        return op + 1;
    }

    private static Row Signs<T>(Mnemonic mnemonic) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        VexForm.Bind(instruction, ref op);
        return VexForm.Is256(instruction) ? new(&SignsOf256<T>) : new(&SignsOf128<T>);
    });

    private static Op* SignsOf128<T>(VcpuContext* c, Op* op)
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        *(ulong*)((byte*)c + op->Dst) = (*(Vector128<byte>*)((byte*)c + op->Src)).As<byte, T>().ExtractMostSignificantBits();
        return op + 1;
    }

    private static Op* SignsOf256<T>(VcpuContext* c, Op* op)
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        *(ulong*)((byte*)c + op->Dst) = (*(Vector256<byte>*)((byte*)c + op->Src)).As<byte, T>().ExtractMostSignificantBits();
        return op + 1;
    }

    /// <summary>As MASKMOVDQU: the operand at rDI, stored byte by byte.</summary>
    private static Handler SelectMasked(in Instruction instruction, ref Op op)
    {
        Moves.BindMasked(instruction, ref op);
        return new(&StoreMasked);
    }

    private static Op* StoreMasked(VcpuContext* c, Op* op) =>
        VectorState.AvxReady(c) && Moves.StoreMasked(c, op, 16) ? op + 1 : VectorState.Leave(c, op);

    private static Op* LoadControl(VcpuContext* c, Op* op) => VectorState.AvxReady(c) ? StateImage.FinishLoadControl(c, op) : VectorState.Leave(c, op);

    private static Op* StoreControl(VcpuContext* c, Op* op) =>
        VectorState.AvxReady(c) && GuestAccess.Store(c, GuestAccess.Address(c, op), c->State.Mxcsr) ? op + 1 : VectorState.Leave(c, op);

    // Outside of 64-bit mode the upper eight registers are out of reach and stay.
    private static int RegisterCount(VcpuContext* c) => c->State.Mode64 ? 16 : 8;

    private static Op* ZeroUpper(VcpuContext* c, Op* op)
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        for (int i = 0; i < RegisterCount(c); i++)
            *(Vector128<byte>*)(c->State.Vector + 32 * i + 16) = default;
        return op + 1;
    }

    private static Op* ZeroAll(VcpuContext* c, Op* op)
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        Unsafe.InitBlockUnaligned(c->State.Vector, 0, (uint)(32 * RegisterCount(c)));
        return op + 1;
    }
}
