using System.Net;
using System.Security.Cryptography.X509Certificates;

namespace Godwit.Access.Certificates;

/// <summary>Whether a certificate is a member's of this cluster.</summary>
public sealed class PeerVerifier
{
    private readonly X509Certificate2Collection _authorities;
    private readonly RevocationList _revoked;
    private readonly TimeProvider _time;

    public PeerVerifier(X509Certificate2Collection authorities, RevocationList revoked, TimeProvider time)
    {
        _authorities = authorities;
        _revoked = revoked;
        _time = time;
    }

    /// <summary>Throws <see cref="AccessRefusedException"/> with one line where it is not, or is not for <paramref name="allowed"/>.</summary>
    /// <param name="at">Where the peer listens; null: it does not, or anywhere will do.</param>
    public PeerIdentity Require(X509Certificate? shown, ReadOnlySpan<PeerKind> allowed, IPAddress? at)
    {
        if (shown is null)
        {
            throw new AccessRefusedException("the peer shows no certificate");
        }

        using var certificate = X509CertificateLoader.LoadCertificate(shown.GetRawCertData());
        RequireGenuine(certificate);
        var peer = PeerIdentity.Of(certificate);
        if (_revoked.Contains(peer.Serial))
        {
            throw new AccessRefusedException($"the certificate of {peer.Name} is revoked");
        }

        if (!allowed.Contains(peer.Kind))
        {
            throw new AccessRefusedException($"the certificate of {peer.Name} is a {peer.Kind.ToString().ToLowerInvariant()}'s, which does not count here");
        }

        return at is null || peer.Addresses.Count == 0 || peer.Addresses.Any(a => Plain(a).Equals(Plain(at)))
            ? peer
            : throw new AccessRefusedException($"the certificate of {peer.Name} is for {string.Join(", ", peer.Addresses)}, not for {Plain(at)}");
    }

    private static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    private void RequireGenuine(X509Certificate2 certificate)
    {
        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(_authorities);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        chain.ChainPolicy.DisableCertificateDownloads = true;
        chain.ChainPolicy.VerificationTime = _time.GetLocalNow().DateTime;
        if (chain.Build(certificate))
        {
            return;
        }

        throw new AccessRefusedException(chain.ChainStatus.All(s => s.Status == X509ChainStatusFlags.NotTimeValid)
            ? $"the certificate of {certificate.GetNameInfo(X509NameType.SimpleName, forIssuer: false)} is valid from {certificate.NotBefore.ToUniversalTime():u} to {certificate.NotAfter.ToUniversalTime():u} only"
            : "the peer's certificate is not from this cluster's authority");
    }
}
