using System.Buffers.Binary;
using System.Net;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Godwit.Access.Certificates;

/// <summary>
/// For a cluster with an authority: TLS 1.3 with certificates of both ends. Silos only may connect to silo and data ports
/// and may listen; clients and silos to gateways. The listening end then says in one message whether it lets the peer in:
/// u8 (1 yes, 0 no), u16 length (little-endian), the reason as UTF-8.
/// </summary>
public sealed class TlsGuard : ConnectionGuard
{
    private const int MostReason = 512;
    private static readonly PeerKind[] _silos = [PeerKind.Silo];
    private static readonly PeerKind[] _callers = [PeerKind.Client, PeerKind.Silo];

    private readonly PeerVerifier _verifier;
    private readonly SslStreamCertificateContext _shown;

    public TlsGuard(Identity identity, PeerVerifier verifier)
    {
        _verifier = verifier;
        _shown = SslStreamCertificateContext.Create(identity.Certificate, additionalCertificates: null, offline: true);
    }

    protected override async Task<Stream> AcceptCoreAsync(Stream connection, ClusterPort port, CancellationToken cancellation)
    {
        var secured = new SslStream(connection, leaveInnerStreamOpen: false);
        try
        {
            await secured.AuthenticateAsServerAsync(
                new SslServerAuthenticationOptions
                {
                    ServerCertificateContext = _shown,
                    ClientCertificateRequired = true,
                    EnabledSslProtocols = SslProtocols.Tls13,
                    AllowTlsResume = false,
                    CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
                    RemoteCertificateValidationCallback = VerifiedBelow,
                },
                cancellation);
            try
            {
                _verifier.Require(secured.RemoteCertificate, port == ClusterPort.Gateway ? _callers : _silos, at: null);
            }
            catch (AccessRefusedException e)
            {
                await AnswerAsync(secured, e.Message, cancellation);
                throw;
            }

            await AnswerAsync(secured, null, cancellation);
            return secured;
        }
        catch (Exception e)
        {
            await secured.DisposeAsync();
            throw Explained(e, "the peer");
        }
    }

    protected override async Task<Stream> ConnectCoreAsync(Stream connection, ClusterPort port, EndPoint? peer, CancellationToken cancellation)
    {
        var secured = new SslStream(connection, leaveInnerStreamOpen: false);
        try
        {
            await secured.AuthenticateAsClientAsync(
                new SslClientAuthenticationOptions
                {
                    TargetHost = "godwit",
                    ClientCertificateContext = _shown,
                    EnabledSslProtocols = SslProtocols.Tls13,
                    AllowTlsResume = false,
                    CertificateRevocationCheckMode = X509RevocationMode.NoCheck,
                    RemoteCertificateValidationCallback = VerifiedBelow,
                },
                cancellation);
            _verifier.Require(secured.RemoteCertificate, _silos, (peer as IPEndPoint)?.Address);
            if (await ReadAnswerAsync(secured, cancellation) is { } refusal)
            {
                throw new AccessRefusedException(refusal);
            }

            return secured;
        }
        catch (Exception e)
        {
            await secured.DisposeAsync();
            throw Explained(e, $"what listens at {peer}");
        }
    }

    /// <summary>The chain is looked at once the handshake is done, so that the peer can be told what is wrong with it.</summary>
    private static bool VerifiedBelow(object sender, X509Certificate? certificate, X509Chain? chain, SslPolicyErrors errors) => certificate is not null;

    private static Exception Explained(Exception e, string who) =>
        e is AuthenticationException ? new AccessRefusedException($"{who} does not speak TLS as silos of a cluster with an authority do") : e;

    private static async Task AnswerAsync(Stream stream, string? refusal, CancellationToken cancellation)
    {
        var text = Encoding.UTF8.GetBytes(refusal ?? "");
        var answer = new byte[3 + Math.Min(text.Length, MostReason)];
        answer[0] = (byte)(refusal is null ? 1 : 0);
        BinaryPrimitives.WriteUInt16LittleEndian(answer.AsSpan(1), (ushort)(answer.Length - 3));
        text.AsSpan(0, answer.Length - 3).CopyTo(answer.AsSpan(3));
        await stream.WriteAsync(answer, cancellation);
        await stream.FlushAsync(cancellation);
    }

    /// <summary>Null: let in; else the reason.</summary>
    private static async Task<string?> ReadAnswerAsync(Stream stream, CancellationToken cancellation)
    {
        var head = new byte[3];
        await stream.ReadExactlyAsync(head, cancellation);
        var reason = new byte[Math.Min(BinaryPrimitives.ReadUInt16LittleEndian(head.AsSpan(1)), (ushort)MostReason)];
        await stream.ReadExactlyAsync(reason, cancellation);
        return head[0] == 1 ? null : Encoding.UTF8.GetString(reason);
    }
}
