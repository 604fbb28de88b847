using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter.Sse;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Vex;

/// <summary>
/// VMASKMOVPS, VMASKMOVPD, VPMASKMOVD, VPMASKMOVQ and the gathers. Elements whose mask has its highest bit clear are not
/// accessed and cannot fault. A masked load that faults changes nothing; a masked store may have stored elements below
/// the one that faults, and stores them again. A gather that faults has loaded the elements below and cleared their mask,
/// so that it goes on where it was (Intel SDM 2, VPGATHERDD).
/// </summary>
internal static unsafe class VexMasked
{
    public static readonly Row[] Rows =
    [
        Masked<int>(Mnemonic.Vmaskmovps), Masked<long>(Mnemonic.Vmaskmovpd), Masked<int>(Mnemonic.Vpmaskmovd), Masked<long>(Mnemonic.Vpmaskmovq),
        Gather<int, int>(Mnemonic.Vgatherdps), Gather<int, int>(Mnemonic.Vpgatherdd),
        Gather<long, int>(Mnemonic.Vgatherdpd), Gather<long, int>(Mnemonic.Vpgatherdq),
        Gather<int, long>(Mnemonic.Vgatherqps), Gather<int, long>(Mnemonic.Vpgatherqd),
        Gather<long, long>(Mnemonic.Vgatherqpd), Gather<long, long>(Mnemonic.Vpgatherqq),
    ];

    private static bool IsSet<T>(T mask)
        where T : unmanaged => sizeof(T) == 8 ? *(long*)&mask < 0 : *(int*)&mask < 0;

    private static Row Masked<T>(Mnemonic mnemonic)
        where T : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        VexForm.Bind(instruction, ref op);
        op.Extra = (VexForm.Is256(instruction) ? 32u : 16u) / (uint)sizeof(T);
        return instruction.Op0Kind == OpKind.Memory ? new(&Store<T>) : new(&Load<T>);
    });

    private static Op* Load<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        ulong address = GuestAccess.Address(c, op);
        T* mask = (T*)((byte*)c + op->Third);
        Vector256<byte> result = default;
        for (uint i = 0; i < op->Extra; i++)
        {
            if (IsSet(mask[i]) && !GuestAccess.Load(c, address + i * (uint)sizeof(T), out ((T*)&result)[i]))
                return VectorState.Leave(c, op);
        }
        return VexForm.Write(c, op, result.GetLower(), result.GetUpper());
    }

    private static Op* Store<T>(VcpuContext* c, Op* op)
        where T : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        ulong address = GuestAccess.Address(c, op);
        T* mask = (T*)((byte*)c + op->Third), source = (T*)((byte*)c + op->Src);
        for (uint i = 0; i < op->Extra; i++)
        {
            if (IsSet(mask[i]) && !GuestAccess.Store(c, address + i * (uint)sizeof(T), source[i]))
                return VectorState.Leave(c, op);
        }
        return op + 1;
    }

    /// <summary>The destination is the first operand, the mask the third; <see cref="Op.Index"/> is the vector of indices.</summary>
    private static Row Gather<T, TIndex>(Mnemonic mnemonic)
        where T : unmanaged
        where TIndex : unmanaged => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Register destination = instruction.Op0Register, index = instruction.MemoryIndex, mask = instruction.Op2Register;
        if (Number(destination) == Number(index) || Number(destination) == Number(mask) || Number(index) == Number(mask))
            return default;
        op.Dst = VexForm.Place(instruction, 0);
        op.Third = VexForm.Place(instruction, 2);
        op.Extra = (uint)Math.Min(destination.GetSize() / sizeof(T), index.GetSize() / sizeof(TIndex));
        return new(&Execute<T, TIndex>);
    });

    private static int Number(Register register) => register >= Register.YMM0 ? register - Register.YMM0 : register - Register.XMM0;

    private static Op* Execute<T, TIndex>(VcpuContext* c, Op* op)
        where T : unmanaged
        where TIndex : unmanaged
    {
        if (!VectorState.AvxReady(c))
            return VectorState.Leave(c, op);
        byte* context = (byte*)c;
        T* target = (T*)(context + op->Dst), mask = (T*)(context + op->Third);
        TIndex* indices = (TIndex*)(context + op->Index);
        int count = (int)op->Extra;
        for (int i = 0; i < count; i++)
        {
            if (IsSet(mask[i]))
            {
                if (!GuestAccess.Load(c, Address(c, op, sizeof(TIndex) == 8 ? ((long*)indices)[i] : ((int*)indices)[i]), out T value))
                    return VectorState.Leave(c, op);
                target[i] = value;
            }
            mask[i] = default;
        }
        for (int i = count; i < 32 / sizeof(T); i++)
            target[i] = mask[i] = default;
        return op + 1;
    }

    private static ulong Address(VcpuContext* c, Op* op, long index)
    {
        byte* context = (byte*)c;
        ulong offset = *(ulong*)(context + op->Base) + ((ulong)index << op->Scale) + op->Displacement;
        if (op->AddressSize != 8)
            offset = (uint)offset;
        return offset + *(ulong*)(context + op->SegmentBase);
    }
}
