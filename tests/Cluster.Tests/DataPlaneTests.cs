using System.Net;
using System.Net.Sockets;
using Godwit.Access;
using Godwit.Cluster.Tests.Processes;
using Godwit.Silo.DataPlane;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>What strangers get from a silo's data port: one line, and an end.</summary>
[Collection(TwoSilosCollection.Name)]
public sealed class DataPlaneTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    private ClusterSecret Secret => ClusterSecret.TryRead(Cluster.Folder)!;

    [Fact]
    public void TheTokenIsReadableByItsOwnerOnly() =>
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(Cluster.Folder, "token")));

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n")]
    [InlineData("GDWTxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
    public async Task WhoDoesNotProveItselfIsClosed(string bytes)
    {
        await using var link = await OpenAsync();
        await link.WriteAsync(System.Text.Encoding.ASCII.GetBytes(bytes));

        await EndedAsync(link);
    }

    [Fact]
    public async Task AnotherClustersSecretIsRefused()
    {
        await using var raw = await OpenAsync();

        var refused = await Assert.ThrowsAsync<AccessRefusedException>(() => new SecretGuard(ClusterSecret.New()).ConnectAsync(raw, ClusterPort.Data, raw.Socket.RemoteEndPoint, default));

        Assert.Contains("does not know the secret", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AWrongTokenIsRefused()
    {
        await using var link = await ConnectAsync();
        await new Preamble(new byte[Preamble.TokenLength], "vm", "attempt").WriteAsync(link, default);

        Assert.Equal("wrong cluster token", await Preamble.ReadAnswerAsync(link, default));

        Assert.Equal(0, await link.ReadAsync(new byte[1]));
    }

    [Fact]
    public async Task AnAttemptThatNobodyAnnouncedIsRefused()
    {
        await using var link = await ConnectAsync();
        await new Preamble(Secret.DataToken, "vm", "attempt").WriteAsync(link, default);

        Assert.Equal("no such migration is expected", await Preamble.ReadAnswerAsync(link, default));

        Assert.Equal(0, await link.ReadAsync(new byte[1]));
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n")]
    [InlineData("GDWTxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")]
    public async Task WhatIsNotAPreambleIsClosed(string bytes)
    {
        await using var link = await ConnectAsync();
        await link.WriteAsync(System.Text.Encoding.ASCII.GetBytes(bytes));

        await EndedAsync(link);
    }

    private static async Task EndedAsync(Stream link)
    {
        var ended = await Record.ExceptionAsync(async () => Assert.Equal(0, await link.ReadAsync(new byte[1])));
        Assert.True(ended is null or IOException, ended?.ToString());
    }

    private async Task<Stream> ConnectAsync() => await new SecretGuard(Secret).ConnectAsync(await OpenAsync(), ClusterPort.Data, null, default);

    private async Task<NetworkStream> OpenAsync()
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPEndPoint.Parse(Cluster.Silo("a").Ready.GetProperty("data").GetString()!));
        return new NetworkStream(socket, ownsSocket: true);
    }
}
