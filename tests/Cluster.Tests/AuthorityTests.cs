using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using Godwit.Access;
using Godwit.Access.Certificates;
using Godwit.Access.Roles;
using Godwit.Cluster.Tests.Ownership;
using Godwit.Cluster.Tests.Processes;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>Connections between what an authority has issued certificates to: who is let in where, and what the others are told.</summary>
public sealed class AuthorityTests : IDisposable
{
    private static readonly TimeSpan _day = TimeSpan.FromDays(1);

    private readonly string _folder = Directory.CreateTempSubdirectory("godwit-test-").FullName;
    private readonly ManualTime _time = new();
    private readonly ClusterAuthority _authority;

    public AuthorityTests() => _authority = ClusterAuthority.Init(_folder, _time);

    [Theory]
    [InlineData(ClusterPort.Silo)]
    [InlineData(ClusterPort.Gateway)]
    [InlineData(ClusterPort.Data)]
    public async Task ASiloIsLetInEverywhereAndWhatIsSaidArrives(ClusterPort port)
    {
        var (accepted, connected) = await MeetAsync(Silo("b"), Silo("a"), port);

        await connected.WriteAsync("hello"u8.ToArray());
        var heard = new byte[5];
        await accepted.ReadExactlyAsync(heard);

        Assert.Equal("hello"u8.ToArray(), heard);
        await accepted.DisposeAsync();
        await connected.DisposeAsync();
    }

    [Fact]
    public async Task AClientIsLetInAtGatewaysOnly()
    {
        var (accepted, connected) = await MeetAsync(Silo("a"), Client("alice"), ClusterPort.Gateway);
        await accepted.DisposeAsync();
        await connected.DisposeAsync();

        foreach (var port in new[] { ClusterPort.Silo, ClusterPort.Data })
        {
            Assert.Equal("the certificate of alice is a client's, which does not count here", await RefusedAsync(Silo("a"), Client("alice"), port));
        }
    }

    [Fact]
    public async Task AClientsCertificateIsNoSilosForThoseWhoConnect() =>
        Assert.Equal("the certificate of alice is a client's, which does not count here", await RefusedAsync(Client("alice"), Client("bob"), ClusterPort.Gateway));

    [Fact]
    public async Task ASiloElsewhereThanItsCertificateSaysIsNotTakenForIt() =>
        Assert.Equal("the certificate of a is for 10.1.2.3, not for 127.0.0.1", await RefusedAsync(Guard(_authority.IssueSilo("a", [IPAddress.Parse("10.1.2.3")], _day)), Silo("b"), ClusterPort.Silo));

    [Fact]
    public async Task AnotherAuthoritysCertificateIsRefused()
    {
        var other = Path.Combine(_folder, "other");
        var stranger = ClusterAuthority.Init(other, _time);

        Assert.Equal("the peer's certificate is not from this cluster's authority", await RefusedAsync(Silo("a"), Guard(stranger.IssueClient("mallory", ClusterRole.Admin, _day)), ClusterPort.Gateway));
    }

    [Fact]
    public async Task AnExpiredCertificateIsRefusedWithItsDates()
    {
        var brief = Client("brief", TimeSpan.FromHours(1));
        _time.Advance(TimeSpan.FromHours(2));

        Assert.Contains("the certificate of brief is valid from", await RefusedAsync(Silo("a"), brief, ClusterPort.Gateway), StringComparison.Ordinal);
    }

    [Fact]
    public async Task ARevokedSiloIsRefusedByTheOthers()
    {
        var revoked = Silo("b");
        Assert.Single(_authority.Revoke("b"));

        Assert.Equal("the certificate of b is revoked", await RefusedAsync(Silo("a"), revoked, ClusterPort.Silo));
        Assert.Empty(_authority.Revoke("b"));
    }

    [Fact]
    public async Task WhoSpeaksNoTlsIsClosed()
    {
        var (server, client) = await PairAsync();
        var accepting = Silo("a").AcceptAsync(server.GetStream(), ClusterPort.Silo, default);
        await client.GetStream().WriteAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray());

        await Assert.ThrowsAnyAsync<Exception>(() => accepting);

        // An alert at most, and the end.
        Assert.InRange(await client.GetStream().ReadAtLeastAsync(new byte[4096], 4096, throwOnEndOfStream: false), 0, 64);
        server.Dispose();
        client.Dispose();
    }

    [Fact]
    public void IdentitiesAreFilesOfTheirOwnersAlone()
    {
        var file = Path.Combine(_folder, Identity.FileName);
        var issued = _authority.IssueSilo("a", [IPAddress.Loopback], _day);
        issued.Write(file);

        var read = Identity.TryRead(file)!;

        Assert.Equal(OwnerFile.FileMode, File.GetUnixFileMode(file));
        Assert.Equal(OwnerFile.FileMode, File.GetUnixFileMode(Path.Combine(_folder, ClusterAuthority.FileName)));
        Assert.Equal((issued.Certificate.Thumbprint, issued.Secret!.ToHex()), (read.Certificate.Thumbprint, read.Secret!.ToHex()));
        Assert.Equal((PeerKind.Silo, "a", IPAddress.Loopback), (read.Peer.Kind, read.Peer.Name, Assert.Single(read.Peer.Addresses)));
        Assert.True(read.Certificate.HasPrivateKey);
        Assert.DoesNotContain(read.Authorities, a => a.HasPrivateKey);
        File.SetUnixFileMode(file, OwnerFile.FileMode | UnixFileMode.OtherRead);
        Assert.Contains("chmod 600", Assert.Throws<IOException>(() => Identity.TryRead(file)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, "only with a certificate of its cluster's authority", "--address", "10.255.255.1")]
    [InlineData(2, "not an address at which others can reach this silo", "--address", "0.0.0.0")]
    [InlineData(2, "not an address at which others can reach this silo", "--address", "somewhere")]
    [InlineData(1, "There is no identity /nonexistent", "--identity", "/nonexistent")]
    public async Task ASiloThatMayNotListenThereSaysWhyInOneLine(int code, string says, params string[] arguments)
    {
        var (exitCode, output, errors) = await TestProcess.RunAsync(TestProcess.Executable, ["silo", "--cluster", Path.Combine(_folder, "silo"), "--store", "127.0.0.1:1", .. arguments]);

        Assert.Equal((code, ""), (exitCode, output));
        Assert.Contains(says, errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
    }

    [Theory]
    [InlineData("client", "is a client's identity, and no silo's")]
    [InlineData("elsewhere", "is for 10.1.2.3, not for 127.0.0.1")]
    public async Task ASiloWithAnIdentityThatIsNotItsOwnSaysSo(string kind, string says)
    {
        var file = Path.Combine(_folder, "given.pem");
        var authority = ClusterAuthority.Init(Path.Combine(_folder, "now"), TimeProvider.System);
        (kind == "client" ? authority.IssueClient("alice", ClusterRole.Admin, _day) : authority.IssueSilo("a", [IPAddress.Parse("10.1.2.3")], _day)).Write(file);

        var (exitCode, _, errors) = await TestProcess.RunAsync(TestProcess.Executable, "silo", "--cluster", Path.Combine(_folder, "silo"), "--store", "127.0.0.1:1", "--identity", file);

        Assert.Equal(1, exitCode);
        Assert.Contains(says, errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private TlsGuard Silo(string name) => Guard(_authority.IssueSilo(name, [], _day));

    private TlsGuard Client(string name, TimeSpan? life = null) => Guard(_authority.IssueClient(name, ClusterRole.Operator, life ?? _day));

    private TlsGuard Guard(Identity identity) => new(identity, new PeerVerifier([X509CertificateLoader.LoadCertificate(_authority.Certificate.RawData)], new RevocationList(_folder, _time), _time));

    private static async Task<(Stream Accepted, Stream Connected)> MeetAsync(ConnectionGuard listening, ConnectionGuard connecting, ClusterPort port)
    {
        var (server, client) = await PairAsync();
        var accepting = listening.AcceptAsync(server.GetStream(), port, default);
        var connected = await connecting.ConnectAsync(client.GetStream(), port, client.Client.RemoteEndPoint, default);
        return (await accepting, connected);
    }

    /// <summary>What the connecting end is told.</summary>
    private static async Task<string> RefusedAsync(ConnectionGuard listening, ConnectionGuard connecting, ClusterPort port)
    {
        var (server, client) = await PairAsync();
        var accepting = listening.AcceptAsync(server.GetStream(), port, default);
        var refused = await Assert.ThrowsAsync<AccessRefusedException>(() => connecting.ConnectAsync(client.GetStream(), port, client.Client.RemoteEndPoint, default));
        client.Dispose();
        await Record.ExceptionAsync(() => accepting);
        server.Dispose();
        Assert.Equal(refused.Message, connecting.LastRefusal);
        return refused.Message;
    }

    private static async Task<(TcpClient Server, TcpClient Client)> PairAsync()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)listener.LocalEndpoint);
        return (await listener.AcceptTcpClientAsync(), client);
    }
}
