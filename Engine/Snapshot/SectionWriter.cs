using System.Buffers.Binary;
using System.Text;

namespace Godwit.Engine.Snapshot;

/// <summary>Puts a container together; the stream is only written to, and stays open.</summary>
internal sealed class SectionWriter(Container container, Stream destination, CancellationToken cancellation)
{
    private uint _number;

    /// <summary>Bytes written so far.</summary>
    public long Bytes { get; private set; }

    public async Task BeginAsync()
    {
        byte[] begin = new byte[container.Magic.Length + sizeof(ushort)];
        Encoding.ASCII.GetBytes(container.Magic, begin);
        BinaryPrimitives.WriteUInt16LittleEndian(begin.AsSpan(container.Magic.Length), container.Version);
        await WriteAsync(begin).ConfigureAwait(false);
    }

    public async Task WriteAsync(string tag, bool critical, ReadOnlyMemory<byte> payload)
    {
        byte[] header = SnapshotFormat.SectionHeader(tag, critical, payload.Length);
        byte[] checksum = new byte[SnapshotFormat.ChecksumBytes];
        BinaryPrimitives.WriteUInt128LittleEndian(checksum, SnapshotFormat.Checksum(_number++, header, payload.Span));
        await WriteAsync(header).ConfigureAwait(false);
        await WriteAsync(payload).ConfigureAwait(false);
        await WriteAsync(checksum).ConfigureAwait(false);
    }

    public Task EndAsync() => WriteAsync(SnapshotFormat.End, true, default);

    private async ValueTask WriteAsync(ReadOnlyMemory<byte> bytes)
    {
        await destination.WriteAsync(bytes, cancellation).ConfigureAwait(false);
        Bytes += bytes.Length;
    }
}
