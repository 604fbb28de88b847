using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Godwit.Silo.DataPlane;

/// <summary>
/// The first bytes of a data connection: magic "GDWT", version (u16), kind (u16, 1 is migration), the cluster's token (32
/// bytes), then VM name and attempt, each a u16 length and UTF-8. The answer is a u8 (1 accepted, 0 refused) and a u16
/// length and one line. All integers little-endian.
/// </summary>
internal sealed record Preamble(byte[] Token, string Vm, string Attempt)
{
    public const int TokenLength = 32;

    private const uint Magic = 0x54574447;
    private const ushort Version = 1;
    private const ushort Migration = 1;
    private const int FixedLength = 4 + 2 + 2 + TokenLength;
    private const int MaxText = 256;

    public bool HasToken(byte[] token) => CryptographicOperations.FixedTimeEquals(Token, token);

    public async Task WriteAsync(Stream stream, CancellationToken cancellation)
    {
        var head = new byte[FixedLength];
        BinaryPrimitives.WriteUInt32LittleEndian(head, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(head.AsSpan(4), Version);
        BinaryPrimitives.WriteUInt16LittleEndian(head.AsSpan(6), Migration);
        Token.CopyTo(head, 8);
        await stream.WriteAsync(head, cancellation);
        await WriteTextAsync(stream, Vm, cancellation);
        await WriteTextAsync(stream, Attempt, cancellation);
        await stream.FlushAsync(cancellation);
    }

    /// <summary>Throws <see cref="InvalidDataException"/> or <see cref="EndOfStreamException"/> on what is not a preamble.</summary>
    public static async Task<Preamble> ReadAsync(Stream stream, CancellationToken cancellation)
    {
        var head = new byte[FixedLength];
        await stream.ReadExactlyAsync(head, cancellation);
        if (BinaryPrimitives.ReadUInt32LittleEndian(head) != Magic)
        {
            throw new InvalidDataException("not a Godwit data connection");
        }

        if (BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(4)) != Version || BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(6)) != Migration)
        {
            throw new InvalidDataException("a data connection of an unknown version or kind");
        }

        return new Preamble(head[8..], await ReadTextAsync(stream, cancellation), await ReadTextAsync(stream, cancellation));
    }

    public static async Task AnswerAsync(Stream stream, string? refusal, CancellationToken cancellation)
    {
        await stream.WriteAsync(new[] { (byte)(refusal is null ? 1 : 0) }, cancellation);
        await WriteTextAsync(stream, refusal ?? "", cancellation);
        await stream.FlushAsync(cancellation);
    }

    /// <summary>Null: accepted; otherwise the refusal.</summary>
    public static async Task<string?> ReadAnswerAsync(Stream stream, CancellationToken cancellation)
    {
        var accepted = new byte[1];
        await stream.ReadExactlyAsync(accepted, cancellation);
        var text = await ReadTextAsync(stream, cancellation);
        return accepted[0] == 1 ? null : text;
    }

    private static async Task WriteTextAsync(Stream stream, string text, CancellationToken cancellation)
    {
        var bytes = Encoding.UTF8.GetBytes(text.Length > MaxText / 4 ? text[..Math.Min(text.Length, MaxText / 4)] : text);
        var framed = new byte[2 + bytes.Length];
        BinaryPrimitives.WriteUInt16LittleEndian(framed, (ushort)bytes.Length);
        bytes.CopyTo(framed, 2);
        await stream.WriteAsync(framed, cancellation);
    }

    private static async Task<string> ReadTextAsync(Stream stream, CancellationToken cancellation)
    {
        var length = new byte[2];
        await stream.ReadExactlyAsync(length, cancellation);
        var count = BinaryPrimitives.ReadUInt16LittleEndian(length);
        if (count > MaxText)
        {
            throw new InvalidDataException("a text that is too long");
        }

        var bytes = new byte[count];
        await stream.ReadExactlyAsync(bytes, cancellation);
        return Encoding.UTF8.GetString(bytes);
    }
}
