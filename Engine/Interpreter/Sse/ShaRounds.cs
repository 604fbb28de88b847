using System.Numerics;
using System.Runtime.Intrinsics;
using Godwit.Engine.Cpu;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>The SHA extensions: rounds and message schedules of SHA-1 and SHA-256 (FIPS 180-4; operand layouts of Intel SDM 2B, SHA1RNDS4 on).</summary>
internal static unsafe class ShaRounds
{
    public static readonly Row[] Rows =
    [
        PackedRows.Controlled<Sha1Rounds>(Mnemonic.Sha1rnds4),
        PackedRows.Xmm<Sha1NextE>(Mnemonic.Sha1nexte),
        PackedRows.Xmm<Sha1Message1>(Mnemonic.Sha1msg1),
        PackedRows.Xmm<Sha1Message2>(Mnemonic.Sha1msg2),
        PackedRows.Xmm<Sha256Message1>(Mnemonic.Sha256msg1),
        PackedRows.Xmm<Sha256Message2>(Mnemonic.Sha256msg2),
        new(Mnemonic.Sha256rnds2, (in Instruction instruction, ref Op op) =>
        {
            Operands.Bind(instruction, ref op);
            op.Third = Operands.Offset(Register.XMM0);
            return new Handler(Operands.HasMemory(instruction) ? &Sha256RoundsMemory : &Sha256RoundsRegister);
        }),
    ];

    /// <summary>Words of a vector, the highest first, as SHA-1 orders its state.</summary>
    private static (uint A, uint B, uint C, uint D) Words(Vector128<byte> vector)
    {
        Vector128<uint> words = vector.AsUInt32();
        return (words[3], words[2], words[1], words[0]);
    }

    private static Vector128<byte> Pack(uint a, uint b, uint c, uint d) => Vector128.Create(d, c, b, a).AsByte();

    private static Op* Sha256RoundsRegister(VcpuContext* c, Op* op) =>
        VectorState.SseReady(c) ? Sha256Rounds(c, op, *(Vector128<byte>*)((byte*)c + op->Src)) : VectorState.Leave(c, op);

    private static Op* Sha256RoundsMemory(VcpuContext* c, Op* op) =>
        VectorState.SseReady(c) && Operands.Fetch<Vector128<byte>>(c, op, out Vector128<byte> source) ? Sha256Rounds(c, op, source) : VectorState.Leave(c, op);

    /// <summary>Two rounds: the destination holds C, D, G, H, the source A, B, E, F, and XMM0 the two sums of message and constant.</summary>
    private static Op* Sha256Rounds(VcpuContext* context, Op* op, Vector128<byte> source)
    {
        Vector128<byte>* target = (Vector128<byte>*)((byte*)context + op->Dst);
        uint* inputs = (uint*)((byte*)context + op->Third);
        (uint a, uint b, uint e, uint f) = Words(source);
        (uint c, uint d, uint g, uint h) = Words(*target);
        for (int i = 0; i < 2; i++)
        {
            uint choice = (e & f) ^ (~e & g), majority = (a & b) ^ (a & c) ^ (b & c);
            uint one = choice + (BitOperations.RotateRight(e, 6) ^ BitOperations.RotateRight(e, 11) ^ BitOperations.RotateRight(e, 25)) + inputs[i] + h;
            uint two = majority + (BitOperations.RotateRight(a, 2) ^ BitOperations.RotateRight(a, 13) ^ BitOperations.RotateRight(a, 22));
            (h, g, f, e) = (g, f, e, d + one);
            (d, c, b, a) = (c, b, a, one + two);
        }
        *target = Pack(a, b, e, f);
        return op + 1;
    }

    /// <summary>Four rounds; the control chooses function and constant. The first sum of message and E is in the source's highest word.</summary>
    private readonly struct Sha1Rounds : IControlledOperation
    {
        private static ReadOnlySpan<uint> Constants => [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6];

        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control)
        {
            (uint a, uint b, uint c, uint d) = Words(left);
            uint e = 0;
            for (int i = 3; i >= 0; i--)
            {
                uint mixed = (control & 3) switch
                {
                    0 => (b & c) ^ (~b & d),
                    2 => (b & c) ^ (b & d) ^ (c & d),
                    _ => b ^ c ^ d,
                };
                uint next = mixed + BitOperations.RotateLeft(a, 5) + right.AsUInt32().GetElement(i) + e + Constants[(int)(control & 3)];
                (e, d, c, b, a) = (d, c, BitOperations.RotateLeft(b, 30), a, next);
            }
            return Pack(a, b, c, d);
        }
    }

    private readonly struct Sha1NextE : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            right.AsUInt32().WithElement(3, right.AsUInt32().GetElement(3) + BitOperations.RotateLeft(left.AsUInt32().GetElement(3), 30)).AsByte();
    }

    private readonly struct Sha1Message1 : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (uint w0, uint w1, uint w2, uint w3) = Words(left);
            (uint w4, uint w5, _, _) = Words(right);
            return Pack(w2 ^ w0, w3 ^ w1, w4 ^ w2, w5 ^ w3);
        }
    }

    private readonly struct Sha1Message2 : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            (uint a, uint b, uint c, uint d) = Words(left);
            (_, uint w13, uint w14, uint w15) = Words(right);
            uint w16 = BitOperations.RotateLeft(a ^ w13, 1);
            return Pack(w16, BitOperations.RotateLeft(b ^ w14, 1), BitOperations.RotateLeft(c ^ w15, 1), BitOperations.RotateLeft(d ^ w16, 1));
        }
    }

    private readonly struct Sha256Message1 : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<uint> words = left.AsUInt32();
            uint next = right.AsUInt32().ToScalar();
            return Vector128.Create(words[0] + Sigma(words[1]), words[1] + Sigma(words[2]), words[2] + Sigma(words[3]), words[3] + Sigma(next)).AsByte();
        }

        private static uint Sigma(uint x) => BitOperations.RotateRight(x, 7) ^ BitOperations.RotateRight(x, 18) ^ x >> 3;
    }

    private readonly struct Sha256Message2 : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right)
        {
            Vector128<uint> words = left.AsUInt32();
            uint w16 = words[0] + Sigma(right.AsUInt32().GetElement(2)), w17 = words[1] + Sigma(right.AsUInt32().GetElement(3));
            return Vector128.Create(w16, w17, words[2] + Sigma(w16), words[3] + Sigma(w17)).AsByte();
        }

        private static uint Sigma(uint x) => BitOperations.RotateRight(x, 17) ^ BitOperations.RotateRight(x, 19) ^ x >> 10;
    }
}
