using System.Numerics;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (Intel SDM 2B, 4.1) and CRC32 of SSE4.2.</summary>
internal static unsafe class StringCompare
{
    /// <summary>In <see cref="Op.Immediate"/>: lengths are in RAX and RDX, 64 bits wide; the result is a mask in XMM0.</summary>
    internal const ulong Explicit = 1, Wide = 2, ToMask = 4;

    public static readonly Row[] Rows =
    [
        Compare(Mnemonic.Pcmpestri, Explicit), Compare(Mnemonic.Pcmpestri64, Explicit | Wide),
        Compare(Mnemonic.Pcmpestrm, Explicit | ToMask), Compare(Mnemonic.Pcmpestrm64, Explicit | Wide | ToMask),
        Compare(Mnemonic.Pcmpistri, 0), Compare(Mnemonic.Pcmpistrm, ToMask),
        new(Mnemonic.Crc32, SelectCrc),
    ];

    private static Row Compare(Mnemonic mnemonic, ulong options) => new(mnemonic, (in Instruction instruction, ref Op op) =>
    {
        Operands.Bind(instruction, ref op);
        op.Immediate = options;
        op.Third = Operands.Offset(Register.XMM0);
        return new Handler(Operands.HasMemory(instruction) ? &FromMemory : &FromRegister);
    });

    private static Op* FromRegister(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c))
            return VectorState.Leave(c, op);
        return Finish(c, op, *(Vector128<byte>*)((byte*)c + op->Src));
    }

    /// <summary>The memory operand need not be aligned.</summary>
    private static Op* FromMemory(VcpuContext* c, Op* op)
    {
        if (!VectorState.SseReady(c) || !GuestAccess.Load(c, GuestAccess.Address(c, op), out Vector128<byte> source))
            return VectorState.Leave(c, op);
        return Finish(c, op, source);
    }

    /// <summary>Compares the destination operand with a vector under <see cref="Op.Extra"/>, the options being in <see cref="Op.Immediate"/>.</summary>
    internal static Op* Finish(VcpuContext* c, Op* op, Vector128<byte> second)
    {
        uint control = op->Extra;
        bool words = (control & 1) != 0;
        int count = words ? 8 : 16;
        int* left = stackalloc int[16];
        int* right = stackalloc int[16];
        Elements(*(Vector128<byte>*)((byte*)c + op->Dst), control, left);
        Elements(second, control, right);
        bool isExplicit = (op->Immediate & Explicit) != 0;
        int leftLength = isExplicit ? Length(c->State.Gpr[Gpr.RAX], op, count) : Terminated(left, count);
        int rightLength = isExplicit ? Length(c->State.Gpr[Gpr.RDX], op, count) : Terminated(right, count);
        int matches = Aggregate(left, leftLength, right, rightLength, count, control);
        if ((control & 0x10) != 0)
            matches ^= (control & 0x20) != 0 ? (1 << rightLength) - 1 : (1 << count) - 1;
        Deliver(c, op, matches, count, words);
        c->SetArithmetic((matches != 0 ? Rflags.CF : 0) | (rightLength < count ? Rflags.ZF : 0)
            | (leftLength < count ? Rflags.SF : 0) | ((matches & 1) != 0 ? Rflags.OF : 0));
        return op + 1;
    }

    private static void Deliver(VcpuContext* c, Op* op, int matches, int count, bool words)
    {
        bool highest = (op->Extra & 0x40) != 0;
        if ((op->Immediate & ToMask) == 0)
        {
            c->State.Gpr[Gpr.RCX] = matches == 0 ? (ulong)count
                : (ulong)(highest ? BitOperations.Log2((uint)matches) : BitOperations.TrailingZeroCount(matches));
            return;
        }
        Vector128<byte> mask = Vector128.CreateScalar((ulong)matches).AsByte();
        if (highest)
        {
            mask = default;
            for (int i = 0; i < count; i++)
            {
                if ((matches >> i & 1) == 0)
                    continue;
                if (words)
                    ((ushort*)&mask)[i] = 0xffff;
                else
                    ((byte*)&mask)[i] = 0xff;
            }
        }
        *(Vector128<byte>*)((byte*)c + op->Third) = mask;
    }

    /// <summary>Bit j of the result: what the second string's element j finds in the first (bits 2-3 of the control).</summary>
    private static int Aggregate(int* left, int leftLength, int* right, int rightLength, int count, uint control)
    {
        int result = 0;
        for (int j = 0; j < count; j++)
        {
            bool match = (control >> 2 & 3) switch
            {
                0 => j < rightLength && IsAny(left, leftLength, right[j]),
                1 => j < rightLength && InRange(left, leftLength, right[j]),
                2 => j < rightLength ? j < leftLength && left[j] == right[j] : j >= leftLength,
                _ => Starts(left, leftLength, right, rightLength, j, count),
            };
            if (match)
                result |= 1 << j;
        }
        return result;
    }

    private static bool IsAny(int* set, int length, int element)
    {
        for (int i = 0; i < length; i++)
        {
            if (set[i] == element)
                return true;
        }
        return false;
    }

    private static bool InRange(int* bounds, int length, int element)
    {
        for (int i = 0; i + 1 < length; i += 2)
        {
            if (element >= bounds[i] && element <= bounds[i + 1])
                return true;
        }
        return false;
    }

    /// <summary>Whether the first string begins at position j of the second; what lies beyond the register counts as found.</summary>
    private static bool Starts(int* needle, int needleLength, int* text, int textLength, int j, int count)
    {
        for (int i = 0; i < needleLength && i + j < count; i++)
        {
            if (i + j >= textLength || needle[i] != text[i + j])
                return false;
        }
        return true;
    }

    /// <summary>Bit 0 of the control: words; bit 1: signed.</summary>
    private static void Elements(Vector128<byte> vector, uint control, int* elements)
    {
        for (int i = 0; i < ((control & 1) != 0 ? 8 : 16); i++)
            elements[i] = (control & 3) switch
            {
                0 => ((byte*)&vector)[i],
                1 => ((ushort*)&vector)[i],
                2 => ((sbyte*)&vector)[i],
                _ => ((short*)&vector)[i],
            };
    }

    /// <summary>The absolute value of a length register, at most the elements of a vector.</summary>
    private static int Length(ulong register, Op* op, int count)
    {
        long length = (op->Immediate & Wide) != 0 ? (long)register : (int)register;
        return length > -count && length < count ? (int)Math.Abs(length) : count;
    }

    private static int Terminated(int* elements, int count)
    {
        int length = 0;
        while (length < count && elements[length] != 0)
            length++;
        return length;
    }

    private static Handler SelectCrc(in Instruction instruction, ref Op op)
    {
        bool memory = instruction.Op1Kind == OpKind.Memory;
        return new Handler(instruction.Code switch
        {
            Code.Crc32_r32_rm8 or Code.Crc32_r64_rm8 => memory ? &CrcMemory<byte> : &CrcRegister<byte>,
            Code.Crc32_r32_rm16 => memory ? &CrcMemory<ushort> : &CrcRegister<ushort>,
            Code.Crc32_r32_rm32 => memory ? &CrcMemory<uint> : &CrcRegister<uint>,
            _ => memory ? &CrcMemory<ulong> : &CrcRegister<ulong>,
        });
    }

    private static Op* CrcRegister<T>(VcpuContext* c, Op* op)
        where T : unmanaged => FinishCrc(c, op, *(T*)((byte*)c + op->Src));

    private static Op* CrcMemory<T>(VcpuContext* c, Op* op)
        where T : unmanaged =>
        GuestAccess.Load(c, GuestAccess.Address(c, op), out T value) ? FinishCrc(c, op, value) : VectorState.Leave(c, op);

    private static Op* FinishCrc<T>(VcpuContext* c, Op* op, T value)
        where T : unmanaged
    {
        ulong* target = (ulong*)((byte*)c + op->Dst);
        uint crc = (uint)*target;
        *target = sizeof(T) switch
        {
            1 => BitOperations.Crc32C(crc, *(byte*)&value),
            2 => BitOperations.Crc32C(crc, *(ushort*)&value),
            4 => BitOperations.Crc32C(crc, *(uint*)&value),
            _ => BitOperations.Crc32C(crc, *(ulong*)&value),
        };
        return op + 1;
    }
}
