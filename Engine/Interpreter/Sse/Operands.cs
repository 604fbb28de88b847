using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>Where vector, MMX and general registers lie in the context, and how memory operands are fetched.</summary>
internal static unsafe class Operands
{
    /// <summary>The context offset of the register that is always 0.</summary>
    public static readonly ushort Zero = Offsets().Zero;

    private static readonly ushort VectorOffset = Offsets().Vector, X87Offset = Offsets().X87, SegmentOffset = Offsets().Es;

    /// <summary>The context offset of an XMM, MMX or 32/64-bit general register.</summary>
    public static ushort Offset(Register register) => register switch
    {
        >= Register.XMM0 and <= Register.XMM15 => (ushort)(VectorOffset + (register - Register.XMM0) * 32),
        >= Register.MM0 and <= Register.MM7 => (ushort)(X87Offset + (register - Register.MM0) * 16),
        >= Register.EAX and <= Register.R15D => (ushort)((register - Register.EAX) * 8),
        >= Register.RAX and <= Register.R15 => (ushort)((register - Register.RAX) * 8),
        _ => throw new ArgumentOutOfRangeException(nameof(register), register, "not a vector operand's register"),
    };

    /// <summary>The context offset of a segment's base; in 64-bit mode only FS and GS have one.</summary>
    public static ushort SegmentBase(Register segment, CodeSize codeSize) =>
        codeSize == CodeSize.Code64 && segment < Register.FS ? Zero : (ushort)(SegmentOffset + (segment - Register.ES) * sizeof(Segment));

    /// <summary>Puts the first two operands' registers into the op, and an immediate third (or second) operand.</summary>
    public static void Bind(in Instruction instruction, ref Op op)
    {
        if (instruction.OpCount > 0 && instruction.Op0Kind == OpKind.Register)
            op.Dst = Offset(instruction.Op0Register);
        if (instruction.OpCount > 1 && instruction.Op1Kind == OpKind.Register)
            op.Src = Offset(instruction.Op1Register);
        int last = instruction.OpCount - 1;
        if (last > 0 && instruction.GetOpKind(last) == OpKind.Immediate8)
            op.Extra = instruction.Immediate8;
    }

    /// <summary>Whether any operand is in memory.</summary>
    public static bool HasMemory(in Instruction instruction) =>
        instruction.Op0Kind == OpKind.Memory || (instruction.OpCount > 1 && instruction.Op1Kind == OpKind.Memory);

    /// <summary>
    /// Fetches a memory operand of <typeparamref name="TMemory"/>'s size, zero-extended to a vector. 16-byte operands
    /// must be aligned (#GP). False: the fault is recorded.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static bool Fetch<TMemory>(VcpuContext* c, Op* op, out Vector128<byte> value)
        where TMemory : unmanaged
    {
        ulong address = GuestAccess.Address(c, op);
        if (sizeof(TMemory) == 16)
        {
            if ((address & 15) != 0)
            {
                value = default;
                return c->Raise(Cpu.Vector.GP, 0);
            }
            return GuestAccess.Load(c, address, out value);
        }
        bool loaded = GuestAccess.Load(c, address, out TMemory narrow);
        value = Vector128.CreateScalar(Widen(narrow)).AsByte();
        return loaded;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ulong Widen<TMemory>(TMemory value)
        where TMemory : unmanaged
    {
        if (sizeof(TMemory) == 8)
            return Unsafe.BitCast<TMemory, ulong>(value);
        if (sizeof(TMemory) == 4)
            return Unsafe.BitCast<TMemory, uint>(value);
        return Unsafe.BitCast<TMemory, ushort>(value);
    }

    private static (ushort Vector, ushort X87, ushort Es, ushort Zero) Offsets()
    {
        VcpuContext context;
        byte* start = (byte*)&context;
        return ((ushort)(context.State.Vector - start), (ushort)((byte*)context.State.X87 - start),
            (ushort)((byte*)&context.State.Es - start), (ushort)((byte*)&context.Zero - start));
    }
}
