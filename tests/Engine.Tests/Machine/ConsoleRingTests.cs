using Godwit.Engine.Devices;
using Godwit.Engine.Machine;
using Xunit;

namespace Godwit.Engine.Tests.Machine;

public sealed class ConsoleRingTests
{
    [Fact]
    public async Task AReaderWaitsForTheNextByteAndGetsItsOffset()
    {
        ConsoleRing ring = new();
        Task<ConsoleChunk> read = ring.ReadAsync(0, 10, CancellationToken.None);
        Assert.False(read.IsCompleted);
        ring.Write("ab"u8);
        ConsoleChunk chunk = await read;
        Assert.Equal(0, chunk.Offset);
        Assert.Equal("ab"u8.ToArray(), chunk.Bytes);
    }

    [Fact]
    public async Task AnOverwrittenOffsetStartsAtTheOldestByte()
    {
        ConsoleRing ring = new();
        byte[] bytes = new byte[ConsoleRing.Capacity + 5];
        for (int i = 0; i < bytes.Length; i++)
            bytes[i] = (byte)(i * 7);
        ring.Write(bytes);
        ConsoleChunk chunk = await ring.ReadAsync(0, int.MaxValue, CancellationToken.None);
        Assert.Equal(5, chunk.Offset);
        Assert.Equal(bytes[5..], chunk.Bytes);
    }

    [Fact]
    public async Task ClosingEndsAWaitingReader()
    {
        ConsoleRing ring = new();
        Task<ConsoleChunk> read = ring.ReadAsync(0, 10, CancellationToken.None);
        ring.Close();
        Assert.True((await read).Ended);
    }

    [Fact]
    public async Task AReaderOfAConsoleThatMovedAwayIsNotToldThatItEnded()
    {
        ConsoleRing ring = new();
        Task<ConsoleChunk> read = ring.ReadAsync(0, 10, CancellationToken.None);
        ring.Leave();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => read);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(ConsoleRing.Capacity + 100)]
    public async Task StateCarriesTheNewestBytesAndTheirOffsets(int written)
    {
        ConsoleRing ring = new(), copy = new();
        byte[] bytes = new byte[written];
        new Random(1).NextBytes(bytes);
        ring.Write(bytes);
        copy.LoadState(ring.SaveState());
        Assert.Equal(ring.Length, copy.Length);
        Assert.Equal((await ring.ReadAsync(0, int.MaxValue, CancellationToken.None)).Bytes, (await copy.ReadAsync(0, int.MaxValue, CancellationToken.None)).Bytes);
    }

    [Fact]
    public void StateThatContradictsItselfIsRefused() =>
        Assert.Throws<InvalidStateException>(() => new ConsoleRing().LoadState(new ConsoleState { End = 1, Newest = new byte[2] }));
}
