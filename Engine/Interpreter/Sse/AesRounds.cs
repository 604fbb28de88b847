using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Godwit.Engine.Interpreter.Vex;
using Iced.Intel;

namespace Godwit.Engine.Interpreter.Sse;

/// <summary>
/// AES-NI: rounds of the cipher (FIPS 197) on the state in the first operand with the round key in the second, the inverse
/// of MixColumns, and the key schedule's step. By the host's instructions where it has them.
/// </summary>
internal static class AesRounds
{
    public static readonly Row[] Rows =
    [
        PackedRows.Xmm<Encrypt>(Mnemonic.Aesenc), VexRows.Packed<Encrypt>(Mnemonic.Vaesenc),
        PackedRows.Xmm<EncryptLast>(Mnemonic.Aesenclast), VexRows.Packed<EncryptLast>(Mnemonic.Vaesenclast),
        PackedRows.Xmm<Decrypt>(Mnemonic.Aesdec), VexRows.Packed<Decrypt>(Mnemonic.Vaesdec),
        PackedRows.Xmm<DecryptLast>(Mnemonic.Aesdeclast), VexRows.Packed<DecryptLast>(Mnemonic.Vaesdeclast),
        PackedRows.Xmm<InverseMix>(Mnemonic.Aesimc), VexRows.Packed<InverseMix>(Mnemonic.Vaesimc),
        PackedRows.Controlled<KeyStep>(Mnemonic.Aeskeygenassist), VexRows.Controlled<KeyStep>(Mnemonic.Vaeskeygenassist),
    ];

    private static readonly byte[] _box = Box(), _inverseBox = Inverse(_box);

    /// <summary>One round without the host's instructions. The last ones do not mix columns.</summary>
    public static Vector128<byte> PortableRound(Vector128<byte> state, Vector128<byte> key, bool decrypt, bool last)
    {
        byte[] box = decrypt ? _inverseBox : _box;
        Vector128<byte> shifted = default;
        // Row r of the state, which holds its columns one after the other, moves by r columns.
        for (int i = 0; i < 16; i++)
        {
            int row = i & 3, from = ((i >> 2) + (decrypt ? 4 - row : row) & 3) * 4 + row;
            shifted = shifted.WithElement(i, box[state.GetElement(from)]);
        }
        return (last ? shifted : decrypt ? PortableInverseMix(shifted) : Mix(shifted, 2, 3, 1, 1)) ^ key;
    }

    public static Vector128<byte> PortableInverseMix(Vector128<byte> state) => Mix(state, 14, 11, 13, 9);

    /// <summary>AESKEYGENASSIST: substitutes words 1 and 3, and gives each rotated and with the round constant, too.</summary>
    public static Vector128<byte> KeyGenerationStep(Vector128<byte> value, uint constant)
    {
        uint first = Substitute(value.AsUInt32().GetElement(1)), second = Substitute(value.AsUInt32().GetElement(3));
        return Vector128.Create(first, uint.RotateRight(first, 8) ^ constant, second, uint.RotateRight(second, 8) ^ constant).AsByte();
    }

    private static uint Substitute(uint word) =>
        _box[(byte)word] | (uint)_box[(byte)(word >> 8)] << 8 | (uint)_box[(byte)(word >> 16)] << 16 | (uint)_box[word >> 24] << 24;

    /// <summary>Multiplies each column by the circulant matrix of four coefficients.</summary>
    private static Vector128<byte> Mix(Vector128<byte> state, byte a, byte b, byte c, byte d)
    {
        Vector128<byte> result = default;
        for (int i = 0; i < 16; i++)
        {
            int column = i & ~3;
            byte At(int row) => state.GetElement(column + (i + row & 3));
            result = result.WithElement(i, (byte)(Multiply(At(0), a) ^ Multiply(At(1), b) ^ Multiply(At(2), c) ^ Multiply(At(3), d)));
        }
        return result;
    }

    /// <summary>The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.</summary>
    private static byte Multiply(byte left, byte right)
    {
        int product = 0, factor = left;
        for (; right != 0; right >>= 1)
        {
            if ((right & 1) != 0)
                product ^= factor;
            factor = factor << 1 ^ (factor >= 0x80 ? 0x11b : 0);
        }
        return (byte)product;
    }

    /// <summary>The substitution: inverse in the field, then the affine map of FIPS 197, 5.1.1.</summary>
    private static byte[] Box()
    {
        byte[] box = new byte[256];
        for (int i = 0; i < 256; i++)
        {
            // The inverse is the 254th power.
            byte inverse = 1, square = (byte)i;
            for (int power = 254; power != 0; power >>= 1)
            {
                if ((power & 1) != 0)
                    inverse = Multiply(inverse, square);
                square = Multiply(square, square);
            }
            box[i] = (byte)(inverse ^ byte.RotateLeft(inverse, 1) ^ byte.RotateLeft(inverse, 2) ^ byte.RotateLeft(inverse, 3) ^ byte.RotateLeft(inverse, 4) ^ 0x63);
        }
        return box;
    }

    private static byte[] Inverse(byte[] box)
    {
        byte[] inverse = new byte[256];
        for (int i = 0; i < 256; i++)
            inverse[box[i]] = (byte)i;
        return inverse;
    }

    private readonly struct Encrypt : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Aes.IsSupported ? Aes.Encrypt(left, right) : PortableRound(left, right, decrypt: false, last: false);
    }

    private readonly struct EncryptLast : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Aes.IsSupported ? Aes.EncryptLast(left, right) : PortableRound(left, right, decrypt: false, last: true);
    }

    private readonly struct Decrypt : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Aes.IsSupported ? Aes.Decrypt(left, right) : PortableRound(left, right, decrypt: true, last: false);
    }

    private readonly struct DecryptLast : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Aes.IsSupported ? Aes.DecryptLast(left, right) : PortableRound(left, right, decrypt: true, last: true);
    }

    private readonly struct InverseMix : IPackedOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right) =>
            Aes.IsSupported ? Aes.InverseMixColumns(right) : PortableInverseMix(right);
    }

    private readonly struct KeyStep : IControlledOperation
    {
        public static Vector128<byte> Apply(Vector128<byte> left, Vector128<byte> right, uint control) => KeyGenerationStep(right, control);
    }
}
