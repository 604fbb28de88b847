using System.Threading.Channels;

namespace Godwit.Engine.Tests.Migration;

/// <summary>Two connected streams in memory. Writes are counted, and can be cut off or changed on the way.</summary>
internal sealed class MemoryLink
{
    private readonly Channel<byte[]> _toTarget = Channel.CreateUnbounded<byte[]>();
    private readonly Channel<byte[]> _toSource = Channel.CreateUnbounded<byte[]>();

    public MemoryLink()
    {
        Source = new End(this, _toSource.Reader, _toTarget.Writer);
        Target = new End(this, _toTarget.Reader, _toSource.Writer);
    }

    public End Source { get; }

    public End Target { get; }

    /// <summary>The link is gone for both sides; what was written before still arrives.</summary>
    public void Cut()
    {
        _toTarget.Writer.TryComplete();
        _toSource.Writer.TryComplete();
    }

    internal sealed class End(MemoryLink link, ChannelReader<byte[]> reader, ChannelWriter<byte[]> writer) : Stream
    {
        private ReadOnlyMemory<byte> _rest;
        private int _writes;

        /// <summary>Writes after which the link is cut.</summary>
        public int CutAfter { get; set; } = int.MaxValue;

        /// <summary>Changes what is written; the number counts from 0.</summary>
        public Func<int, byte[], byte[]> Tamper { get; set; } = (_, bytes) => bytes;

        public int Writes => _writes;

        public override bool CanRead => true;

        public override bool CanWrite => true;

        public override bool CanSeek => false;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (_writes >= CutAfter)
                link.Cut();
            return writer.TryWrite(Tamper(_writes++, buffer.ToArray())) ? default : throw new IOException("cut");
        }

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            while (_rest.IsEmpty)
            {
                if (!await reader.WaitToReadAsync(cancellationToken))
                    return 0;
                if (reader.TryRead(out byte[]? next))
                    _rest = next;
            }
            int count = Math.Min(buffer.Length, _rest.Length);
            _rest[..count].CopyTo(buffer);
            _rest = _rest[count..];
            return count;
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Flush()
        {
        }

        public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            writer.TryComplete();
            base.Dispose(disposing);
        }
    }
}
