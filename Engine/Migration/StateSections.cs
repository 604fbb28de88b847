using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using Godwit.Engine.Devices;

namespace Godwit.Engine.Migration;

/// <summary>
/// CPU and device state as one run of bytes: u32 number of sections; for each a length byte and the tag in ASCII, a byte
/// that is 1 for critical, u32 length and the payload. Little-endian.
/// </summary>
public static class StateSections
{
    /// <summary>Sections that a machine may have.</summary>
    public const int MaxCount = 1024;

    /// <summary>Letters of a tag.</summary>
    public const int MaxTag = 64;

    /// <summary>XxHash128 of the encoded sections: equal digests mean equal CPU and device state.</summary>
    public static UInt128 Digest(IReadOnlyList<StateSection> sections) => XxHash128.HashToUInt128(Encode(sections));

    public static byte[] Encode(IReadOnlyList<StateSection> sections)
    {
        byte[] bytes = new byte[sizeof(uint) + sections.Sum(section => 1 + section.Tag.Length + 1 + sizeof(uint) + section.Payload.Length)];
        BinaryPrimitives.WriteInt32LittleEndian(bytes, sections.Count);
        int at = sizeof(uint);
        foreach (StateSection section in sections)
        {
            if (section.Tag.Length is 0 or > MaxTag || !Ascii.IsValid(section.Tag))
                throw new ArgumentException($"'{section.Tag}' cannot be the tag of a state section", nameof(sections));
            bytes[at++] = (byte)section.Tag.Length;
            at += Encoding.ASCII.GetBytes(section.Tag, bytes.AsSpan(at));
            bytes[at++] = section.Critical ? (byte)1 : (byte)0;
            BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(at), section.Payload.Length);
            at += sizeof(uint);
            section.Payload.CopyTo(bytes.AsMemory(at));
            at += section.Payload.Length;
        }
        return bytes;
    }

    /// <summary>Reads untrusted bytes. Throws <see cref="InvalidStateException"/>. The payloads are parts of <paramref name="bytes"/>.</summary>
    public static IReadOnlyList<StateSection> Decode(ReadOnlyMemory<byte> bytes)
    {
        ReadOnlyMemory<byte> rest = bytes;
        uint count = BinaryPrimitives.ReadUInt32LittleEndian(Take(ref rest, sizeof(uint)).Span);
        if (count > MaxCount)
            throw new InvalidStateException($"state of {count} sections, at most {MaxCount} are allowed");
        List<StateSection> sections = [];
        HashSet<string> tags = [];
        for (uint i = 0; i < count; i++)
        {
            int tagLength = Take(ref rest, 1).Span[0];
            ReadOnlySpan<byte> letters = Take(ref rest, tagLength).Span;
            if (tagLength is 0 or > MaxTag || letters.ContainsAnyExceptInRange((byte)'!', (byte)'~'))
                throw new InvalidStateException("state section with a damaged tag");
            string tag = Encoding.ASCII.GetString(letters);
            if (!tags.Add(tag))
                throw new InvalidStateException($"state section '{tag}' is there twice");
            byte critical = Take(ref rest, 1).Span[0];
            if (critical > 1)
                throw new InvalidStateException($"state section '{tag}' is damaged");
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(Take(ref rest, sizeof(uint)).Span);
            sections.Add(new StateSection(tag, critical == 1, Take(ref rest, length)));
        }
        return rest.IsEmpty ? sections : throw new InvalidStateException("state with more bytes than its sections");
    }

    private static ReadOnlyMemory<byte> Take(ref ReadOnlyMemory<byte> rest, long length)
    {
        if (length > rest.Length)
            throw new InvalidStateException("state that is cut short");
        ReadOnlyMemory<byte> taken = rest[..(int)length];
        rest = rest[(int)length..];
        return taken;
    }
}
