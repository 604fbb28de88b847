using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using System.Threading.Channels;

namespace Godwit.Engine.Migration;

/// <summary>A frame as received. The payload is lent: whoever takes the frame disposes it.</summary>
/// <param name="ReceivedAt">The timestamp at which its last byte came, whenever it is then looked at.</param>
internal readonly record struct Frame(FrameType Type, byte[] Buffer, int Length, long ReceivedAt) : IDisposable
{
    public ReadOnlySpan<byte> Payload => Buffer.AsSpan(0, Length);

    public void Dispose() => ArrayPool<byte>.Shared.Return(Buffer);
}

/// <summary>
/// Frames over a duplex stream: one byte of type, four of length (little-endian), payload. Each frame is one write.
/// A peer that neither sends nor takes anything for the silence limit is gone; while this side is busy it says Alive.
/// The stream must honour cancellation of reads and writes; it stays the caller's.
/// </summary>
internal sealed class FrameLink : IAsyncDisposable
{
    private readonly Stream _stream;
    private readonly TimeSpan _silence;
    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly Channel<Frame> _received = Channel.CreateBounded<Frame>(new BoundedChannelOptions(16) { SingleReader = true, SingleWriter = true });
    private readonly Task _pump;
    private readonly Task _heartbeat;
    private long _bytesSent;
    private int _sentSinceBeat;
    private bool _cutShort;

    public FrameLink(Stream stream, TimeSpan silence)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(silence, TimeSpan.Zero);
        _stream = stream;
        _silence = silence;
        _pump = Task.Run(PumpAsync);
        _heartbeat = Task.Run(BeatAsync);
    }

    /// <summary>Bytes given to the stream, headers included.</summary>
    public long BytesSent => Interlocked.Read(ref _bytesSent);

    public Task SendAsync(FrameType type, CancellationToken cancellation) => SendAsync(type, default, cancellation);

    public async Task SendAsync(FrameType type, ReadOnlyMemory<byte> payload, CancellationToken cancellation)
    {
        byte[] buffer = ArrayPool<byte>.Shared.Rent(Wire.HeaderBytes + payload.Length);
        try
        {
            payload.CopyTo(buffer.AsMemory(Wire.HeaderBytes));
            await SendFramedAsync(type, buffer.AsMemory(0, Wire.HeaderBytes + payload.Length), cancellation).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Sends a payload that stands behind <see cref="Wire.HeaderBytes"/> bytes left free for the header.</summary>
    public async Task SendFramedAsync(FrameType type, Memory<byte> frame, CancellationToken cancellation)
    {
        frame.Span[0] = (byte)type;
        BinaryPrimitives.WriteInt32LittleEndian(frame.Span[1..], frame.Length - Wire.HeaderBytes);
        await _writing.WaitAsync(cancellation).ConfigureAwait(false);
        try
        {
            await WriteAsync(frame, cancellation).ConfigureAwait(false);
        }
        finally
        {
            _writing.Release();
        }
    }

    /// <summary>Sends a reason as text, as far as the link still carries it.</summary>
    public async Task TrySendReasonAsync(FrameType type, string reason)
    {
        try
        {
            byte[] text = Encoding.UTF8.GetBytes(reason);
            await SendAsync(type, text.AsMemory(0, Math.Min(text.Length, Wire.MaxReason)), CancellationToken.None).ConfigureAwait(false);
        }
        catch (LinkException)
        {
            // The peer finds out by the silence.
        }
    }

    /// <summary>The next frame that is not Alive. A peer's Abort or Refuse, and a broken link, are <see cref="LinkException"/>s.</summary>
    public async ValueTask<Frame> ReceiveAsync(CancellationToken cancellation)
    {
        Frame frame;
        try
        {
            frame = await _received.Reader.ReadAsync(cancellation).ConfigureAwait(false);
        }
        catch (ChannelClosedException closed)
        {
            throw new LinkException(closed.InnerException?.Message ?? "the link is closed", closed.InnerException);
        }
        if (frame.Type is not (FrameType.Abort or FrameType.Refuse))
            return frame;
        string reason = Reason(frame);
        frame.Dispose();
        throw new LinkException(frame.Type == FrameType.Refuse ? $"the target refuses: {reason}" : $"the other side gave up: {reason}");
    }

    /// <summary>The next frame, which must be of this type and length (-1: any).</summary>
    public async ValueTask<Frame> ExpectAsync(FrameType type, int length, CancellationToken cancellation)
    {
        Frame frame = await ReceiveAsync(cancellation).ConfigureAwait(false);
        if (frame.Type == type && (length < 0 || frame.Length == length))
            return frame;
        frame.Dispose();
        throw new LinkException($"protocol error: {frame.Type} of {frame.Length} bytes where {type} belongs");
    }

    /// <summary>Throws if the peer has given up or the link is broken; takes nothing.</summary>
    public void ThrowIfBroken()
    {
        if (_received.Reader.TryPeek(out Frame frame) && frame.Type is FrameType.Abort or FrameType.Refuse)
            throw new LinkException($"the other side gave up: {Reason(frame)}");
        if (_received.Reader.Completion is { IsFaulted: true, Exception: { } broken })
            throw new LinkException(broken.InnerException!.Message, broken.InnerException);
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_pump, _heartbeat).ConfigureAwait(false);
        while (_received.Reader.TryRead(out Frame frame))
            frame.Dispose();
        _closing.Dispose();
        _writing.Dispose();
    }

    // The peer's text is shown to people: one line, nothing but printable characters.
    private static string Reason(Frame frame)
    {
        string text = Encoding.UTF8.GetString(frame.Payload[..Math.Min(frame.Length, Wire.MaxReason)]);
        return string.Concat(text.Select(letter => char.IsControl(letter) ? ' ' : letter));
    }

    private async Task WriteAsync(ReadOnlyMemory<byte> frame, CancellationToken cancellation)
    {
        // Half a frame may have left; whatever came after it would be read as its rest.
        if (_cutShort)
            throw new LinkException("the link broke within a frame");
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation, _closing.Token);
        limit.CancelAfter(_silence);
        _cutShort = true;
        try
        {
            await _stream.WriteAsync(frame, limit.Token).ConfigureAwait(false);
            await _stream.FlushAsync(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new LinkException(Silent());
        }
        catch (Exception broken) when (broken is IOException or ObjectDisposedException or InvalidOperationException)
        {
            throw new LinkException($"the link broke: {broken.Message}", broken);
        }
        _cutShort = false;
        Interlocked.Add(ref _bytesSent, frame.Length);
        Volatile.Write(ref _sentSinceBeat, 1);
    }

    private string Silent() => $"the other side was silent for {_silence.TotalSeconds:0.###} s";

    private async Task PumpAsync()
    {
        Exception? end = null;
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(_closing.Token);
        try
        {
            while (await ReadFrameAsync(limit).ConfigureAwait(false) is { } frame)
            {
                if (frame.Type == FrameType.Alive)
                    frame.Dispose();
                else
                    await _received.Writer.WriteAsync(frame, _closing.Token).ConfigureAwait(false);
            }
            end = new LinkException("the link was closed");
        }
        catch (OperationCanceledException) when (_closing.IsCancellationRequested)
        {
            // Disposed.
        }
        catch (OperationCanceledException)
        {
            end = new LinkException(Silent());
        }
        catch (Exception broken) when (broken is IOException or ObjectDisposedException or InvalidOperationException)
        {
            end = new LinkException($"the link broke: {broken.Message}", broken);
        }
        catch (LinkException broken)
        {
            end = broken;
        }
        _received.Writer.Complete(end);
    }

    private async Task<Frame?> ReadFrameAsync(CancellationTokenSource limit)
    {
        byte[] header = new byte[Wire.HeaderBytes];
        if (!await FillAsync(header, limit, mayEnd: true).ConfigureAwait(false))
            return null;
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(1));
        if (length > Wire.MaxPayload)
            throw new LinkException($"protocol error: a frame of {length} bytes, at most {Wire.MaxPayload} are allowed");
        if (header[0] is < (byte)FrameType.Hello or > (byte)FrameType.Abort)
            throw new LinkException($"protocol error: unknown frame type {header[0]}");
        byte[] payload = ArrayPool<byte>.Shared.Rent((int)length);
        try
        {
            await FillAsync(payload.AsMemory(0, (int)length), limit, mayEnd: false).ConfigureAwait(false);
        }
        catch
        {
            ArrayPool<byte>.Shared.Return(payload);
            throw;
        }
        return new Frame((FrameType)header[0], payload, (int)length, Stopwatch.GetTimestamp());
    }

    private async Task<bool> FillAsync(Memory<byte> buffer, CancellationTokenSource limit, bool mayEnd)
    {
        // The whole of it within the limit: signs of life must not pass for the rest of a frame that never comes.
        limit.CancelAfter(_silence);
        for (int filled = 0; filled < buffer.Length;)
        {
            int read = await _stream.ReadAsync(buffer[filled..], limit.Token).ConfigureAwait(false);
            if (read == 0)
                return mayEnd && filled == 0 ? false : throw new LinkException("the link was closed within a frame");
            filled += read;
        }
        limit.CancelAfter(Timeout.InfiniteTimeSpan);
        return true;
    }

    private async Task BeatAsync()
    {
        // A sign of life at least every quarter of the limit: two beats may pass after a frame of another type.
        using PeriodicTimer timer = new(_silence / 8);
        try
        {
            while (await timer.WaitForNextTickAsync(_closing.Token).ConfigureAwait(false))
            {
                if (Interlocked.Exchange(ref _sentSinceBeat, 0) == 0)
                    await SendAsync(FrameType.Alive, _closing.Token).ConfigureAwait(false);
                Volatile.Write(ref _sentSinceBeat, 0);
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed.
        }
        catch (LinkException)
        {
            // Whoever waits on the link is told there.
        }
    }
}
