using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Snapshot;

/// <summary>A snapshot that cannot be restored; the message is one line for a person.</summary>
public sealed class SnapshotException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// The container (docs/snapshot.md): 8 bytes of magic, u16 format version, then sections up to one tagged "end". A
/// section is a length byte and the tag in ASCII, a byte that is 1 for critical, u32 length, payload, and the XxHash128
/// of the section's number (u32) and all of the section before it. Little-endian.
/// </summary>
internal static class SnapshotFormat
{
    /// <summary>A machine as a whole.</summary>
    internal static readonly Container Snapshot = new("snapshot", "GODWITSS", 1);

    /// <summary>What has changed in a machine since an earlier checkpoint, or all of it.</summary>
    internal static readonly Container Checkpoint = new("checkpoint", "GODWITCP", 1);

    internal const string Spec = "spec", Ram = "ram", End = "end", StatePrefix = "state/";

    /// <summary>Of a checkpoint: its number and whether it is whole; ranges of pages that are zero; the digest of all.</summary>
    internal const string Step = "step", Zero = "zero", Digest = "digest";

    internal const int MaxTag = 96;

    internal const int ChecksumBytes = 16;

    /// <summary>Pages in one section of RAM.</summary>
    internal const int ChunkPages = 256;

    /// <summary>Encoding (1 byte), first page (u32), pages (u32).</summary>
    internal const int ChunkHeaderBytes = 9;

    /// <summary>CPU and device state of a machine, all sections together.</summary>
    internal const long MaxState = 1 << 26;

    /// <summary>A section that is skipped.</summary>
    internal const int MaxUnknown = 1 << 20;

    /// <summary>Sections other than RAM.</summary>
    internal const int MaxSections = 4096;

    /// <summary>Ranges in one section of zero pages, 8 bytes each.</summary>
    internal const int ZeroRanges = 4096;

    internal const int ChunkBytes = ChunkPages * PageNumber.Size;

    internal static UInt128 Checksum(uint number, ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload)
    {
        XxHash128 hash = new();
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, number);
        hash.Append(bytes);
        hash.Append(header);
        hash.Append(payload);
        return hash.GetCurrentHashAsUInt128();
    }

    internal static byte[] SectionHeader(string tag, bool critical, int length)
    {
        byte[] header = new byte[1 + tag.Length + 1 + sizeof(uint)];
        header[0] = (byte)tag.Length;
        Encoding.ASCII.GetBytes(tag, header.AsSpan(1));
        header[1 + tag.Length] = critical ? (byte)1 : (byte)0;
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(2 + tag.Length), length);
        return header;
    }
}

/// <summary>A kind of file: what people call it, its 8 bytes of magic and its format's version.</summary>
internal sealed record Container(string Name, string Magic, ushort Version);

/// <summary>How the pages of a RAM section are stored.</summary>
public enum RamEncoding : byte
{
    /// <summary>As they are: the shortest pause.</summary>
    Raw = 0,

    /// <summary>Brotli at its fastest: the smaller file. A section that does not shrink is stored raw.</summary>
    Brotli = 1,
}
