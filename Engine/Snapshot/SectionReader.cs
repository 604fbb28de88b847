using System.Buffers.Binary;
using System.Text;

namespace Godwit.Engine.Snapshot;

/// <summary>A section whose checksum was right.</summary>
internal sealed record Section(string Tag, bool Critical, ReadOnlyMemory<byte> Payload);

/// <summary>Takes a container apart. Nothing of a section is looked at before its checksum was right, save its header.</summary>
internal sealed class SectionReader(Container container, Stream source, CancellationToken cancellation)
{
    // What a header says is believed only as far as bytes really come.
    private const int Piece = 1 << 20;

    private readonly byte[] _ram = new byte[SnapshotFormat.ChunkHeaderBytes + SnapshotFormat.ChunkBytes];
    private uint _number;

    public async Task BeginAsync()
    {
        byte[] begin = await ReadAsync(container.Magic.Length + sizeof(ushort)).ConfigureAwait(false);
        if (Encoding.Latin1.GetString(begin, 0, container.Magic.Length) != container.Magic)
            throw new SnapshotException($"this is not a Godwit {container.Name}");
        ushort version = BinaryPrimitives.ReadUInt16LittleEndian(begin.AsSpan(container.Magic.Length));
        if (version != container.Version)
            throw new SnapshotException($"{container.Name} format {version} is unknown to this version of Godwit, which reads {container.Version}");
    }

    /// <summary>The next section. The payload of one of RAM is valid until the section after it is read.</summary>
    public async Task<Section> NextAsync()
    {
        byte[] tagLength = await ReadAsync(1).ConfigureAwait(false);
        if (tagLength[0] is 0 or > SnapshotFormat.MaxTag)
            throw Damaged();
        byte[] rest = await ReadAsync(tagLength[0] + 1 + sizeof(uint)).ConfigureAwait(false);
        if (rest.AsSpan(0, tagLength[0]).ContainsAnyExceptInRange((byte)'!', (byte)'~') || rest[tagLength[0]] > 1)
            throw Damaged();
        string tag = Encoding.ASCII.GetString(rest, 0, tagLength[0]);
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(rest.AsSpan(tagLength[0] + 1));
        if (length > Limit(tag))
            throw new SnapshotException($"{container.Name}: section '{tag}' of {length} bytes, at most {Limit(tag)} are allowed");
        ReadOnlyMemory<byte> payload = tag == SnapshotFormat.Ram
            ? await FillAsync(_ram.AsMemory(0, (int)length)).ConfigureAwait(false)
            : await ReadAsync((int)length).ConfigureAwait(false);
        byte[] checksum = await ReadAsync(SnapshotFormat.ChecksumBytes).ConfigureAwait(false);
        if (SnapshotFormat.Checksum(_number++, [.. tagLength, .. rest], payload.Span) != BinaryPrimitives.ReadUInt128LittleEndian(checksum))
            throw new SnapshotException($"{container.Name}: section '{tag}' is damaged (wrong checksum)");
        return new Section(tag, rest[tagLength[0]] == 1, payload);
    }

    /// <summary>Nothing may follow the end.</summary>
    public async Task EndAsync()
    {
        if (await source.ReadAsync(new byte[1], cancellation).ConfigureAwait(false) != 0)
            throw new SnapshotException($"{container.Name}: there is more after its end");
    }

    private SnapshotException Damaged() => new($"{container.Name}: a section's header is damaged");

    private static long Limit(string tag) => tag switch
    {
        SnapshotFormat.Spec => Migration.MachineSpecCodec.MaxBytes,
        SnapshotFormat.Ram => SnapshotFormat.ChunkHeaderBytes + SnapshotFormat.ChunkBytes,
        SnapshotFormat.Zero => SnapshotFormat.ZeroRanges * 8,
        SnapshotFormat.End => 0,
        _ when tag.StartsWith(SnapshotFormat.StatePrefix, StringComparison.Ordinal) => SnapshotFormat.MaxState,
        _ => SnapshotFormat.MaxUnknown,
    };

    private async Task<byte[]> ReadAsync(int length)
    {
        byte[] bytes = new byte[Math.Min(length, Piece)];
        await FillAsync(bytes).ConfigureAwait(false);
        while (bytes.Length < length)
        {
            int filled = bytes.Length;
            Array.Resize(ref bytes, (int)Math.Min(length, filled * 2L));
            await FillAsync(bytes.AsMemory(filled)).ConfigureAwait(false);
        }
        return bytes;
    }

    private async Task<ReadOnlyMemory<byte>> FillAsync(Memory<byte> bytes)
    {
        for (int filled = 0; filled < bytes.Length;)
        {
            int read = await source.ReadAsync(bytes[filled..], cancellation).ConfigureAwait(false);
            if (read == 0)
                throw new SnapshotException($"{container.Name}: the file is cut short");
            filled += read;
        }
        return bytes;
    }
}
