using System.Buffers.Binary;
using Godwit.Engine.Migration;
using Xunit;

namespace Godwit.Engine.Tests.Migration;

public sealed class FrameLinkTests
{
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task ABusySideShowsThatItIsThere()
    {
        MemoryLink link = new();
        TaskCompletionSource nine = new();
        link.Source.Tamper = (number, bytes) => Seen(number == 8 ? nine : null, bytes);
        // Signs of life go out at most eight times in the limit, so nine of them take longer than that.
        await using FrameLink busy = new(link.Source, TimeSpan.FromSeconds(3));
        await using FrameLink waiting = new(link.Target, TimeSpan.FromSeconds(3));
        ValueTask<Frame> next = waiting.ReceiveAsync(CancellationToken.None);
        await nine.Task;
        Assert.False(next.IsCompleted);
        await busy.SendAsync(FrameType.Done, CancellationToken.None);
        using Frame done = await next;
        Assert.Equal(FrameType.Done, done.Type);
    }

    [Fact]
    public async Task FramesArriveAsTheyWereSent()
    {
        MemoryLink link = new();
        await using FrameLink one = new(link.Source, s_silence);
        await using FrameLink two = new(link.Target, s_silence);
        byte[] payload = [.. Enumerable.Range(0, 5000).Select(i => (byte)i)];
        await one.SendAsync(FrameType.StateChunk, payload, CancellationToken.None);
        await one.SendAsync(FrameType.Stopping, CancellationToken.None);
        using Frame first = await two.ReceiveAsync(CancellationToken.None);
        using Frame second = await two.ExpectAsync(FrameType.Stopping, 0, CancellationToken.None);
        Assert.True(first.Payload.SequenceEqual(payload));
        Assert.Equal(5 + 5000 + 5, one.BytesSent);
    }

    [Fact]
    public async Task AnOversizedFrameIsRefusedBeforeItIsRead()
    {
        byte[] header = [(byte)FrameType.Pages, 0, 0, 0, 0];
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(1), uint.MaxValue);
        Assert.Equal("protocol error: a frame of 4294967295 bytes, at most 524288 are allowed", await ErrorOfAsync(header));
    }

    [Fact]
    public async Task AnUnknownFrameTypeIsRefused() =>
        Assert.Equal("protocol error: unknown frame type 22", await ErrorOfAsync([22, 0, 0, 0, 0]));

    [Fact]
    public async Task AFrameCutShortIsAnError() =>
        Assert.Equal("the link was closed within a frame", await ErrorOfAsync([(byte)FrameType.Pages, 4, 0, 0, 0, 1, 2]));

    [Fact]
    public async Task AReasonFromThePeerIsOnePrintableLine() =>
        Assert.Equal("the other side gave up: a b [31mc", await ErrorOfAsync([(byte)FrameType.Abort, 9, 0, 0, 0, .. "a\nb"u8, 0x1b, .. "[31mc"u8]));

    [Fact]
    public async Task NothingIsSentAfterAFrameThatWasCutShort()
    {
        MemoryLink link = new();
        await using FrameLink side = new(link.Source, s_silence);
        using CancellationTokenSource cancelled = new();
        link.Source.Tamper = (_, bytes) => throw Cancel(cancelled);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => side.SendAsync(FrameType.Done, cancelled.Token));
        LinkException error = await Assert.ThrowsAsync<LinkException>(() => side.SendAsync(FrameType.Done, CancellationToken.None));
        Assert.Equal("the link broke within a frame", error.Message);
    }

    private static OperationCanceledException Cancel(CancellationTokenSource source)
    {
        source.Cancel();
        return new OperationCanceledException(source.Token);
    }

    private static byte[] Seen(TaskCompletionSource? seen, byte[] bytes)
    {
        seen?.TrySetResult();
        return bytes;
    }

    private static async Task<string> ErrorOfAsync(byte[] bytes)
    {
        MemoryLink link = new();
        await using FrameLink side = new(link.Target, s_silence);
        await link.Source.WriteAsync(bytes);
        await link.Source.DisposeAsync();
        return (await Assert.ThrowsAsync<LinkException>(async () => await side.ReceiveAsync(CancellationToken.None))).Message;
    }
}
