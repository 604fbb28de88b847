using System.Net;
using System.Security.Cryptography.X509Certificates;

namespace Godwit.Access.Certificates;

/// <summary>What a certificate of a cluster's authority is for; its organisational unit.</summary>
public enum PeerKind
{
    Silo,
    Client,
    Store,
}

/// <summary>Whom a certificate names.</summary>
/// <param name="Addresses">Where it may listen; none: anywhere.</param>
public sealed record PeerIdentity(PeerKind Kind, string Name, string Serial, IReadOnlyList<IPAddress> Addresses)
{
    private const string CommonName = "2.5.4.3";
    private const string OrganizationalUnit = "2.5.4.11";
    private const string Organization = "2.5.4.10";

    /// <summary>The subject of a certificate: CN name, OU kind, O godwit.</summary>
    public static X500DistinguishedName Subject(PeerKind kind, string name)
    {
        var subject = new X500DistinguishedNameBuilder();
        subject.AddCommonName(name);
        subject.AddOrganizationalUnitName(kind.ToString().ToLowerInvariant());
        subject.AddOrganizationName("godwit");
        return subject.Build();
    }

    /// <summary>Throws <see cref="AccessRefusedException"/> where the certificate is no peer's. Says nothing of whether it is genuine.</summary>
    public static PeerIdentity Of(X509Certificate2 certificate)
    {
        var parts = certificate.SubjectName.EnumerateRelativeDistinguishedNames()
            .Where(p => !p.HasMultipleElements)
            .ToLookup(p => p.GetSingleElementType().Value, p => p.GetSingleElementValue());
        if (parts[CommonName].FirstOrDefault() is not { } name || parts[Organization].FirstOrDefault() != "godwit"
            || !Enum.TryParse<PeerKind>(parts[OrganizationalUnit].FirstOrDefault(), ignoreCase: true, out var kind))
        {
            throw new AccessRefusedException("the certificate names no silo and no client");
        }

        var addresses = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().SelectMany(e => e.EnumerateIPAddresses());
        return new PeerIdentity(kind, name, certificate.SerialNumber, [.. addresses]);
    }
}
