using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Godwit.Access.Certificates;

/// <summary>
/// What makes a process a member of a cluster with an authority: one PEM file (mode 0600) with its certificate and key, the
/// authorities that it trusts, and the cluster's secret (a silo) or its token (a client).
/// </summary>
public sealed class Identity
{
    /// <summary>Its file in a cluster folder.</summary>
    public const string FileName = "identity.pem";

    private const string SecretLabel = "GODWIT SECRET";
    private const string TokenLabel = "GODWIT TOKEN";

    public Identity(X509Certificate2 certificate, X509Certificate2Collection authorities, ClusterSecret? secret, string? token)
    {
        Certificate = certificate;
        Authorities = authorities;
        Secret = secret;
        Token = token;
        Peer = PeerIdentity.Of(certificate);
    }

    /// <summary>With its private key.</summary>
    public X509Certificate2 Certificate { get; }

    public X509Certificate2Collection Authorities { get; }

    /// <summary>A silo's.</summary>
    public ClusterSecret? Secret { get; }

    /// <summary>A client's.</summary>
    public string? Token { get; }

    public PeerIdentity Peer { get; }

    /// <summary>Null where the file is not there; throws <see cref="IOException"/> where it is damaged, or not its owner's alone.</summary>
    public static Identity? TryRead(string path)
    {
        if (!File.Exists(path))
        {
            return null;
        }

        var text = OwnerFile.ReadSecret(path);
        try
        {
            return Parse(text);
        }
        catch (Exception e) when (e is CryptographicException or FormatException or InvalidDataException or AccessRefusedException or ArgumentException)
        {
            throw new IOException($"{path} is not an identity that \"godwit cluster issue\" wrote: {e.Message}", e);
        }
    }

    public void Write(string path)
    {
        using var key = Certificate.GetECDsaPrivateKey() ?? throw new InvalidOperationException("An identity is written with its private key.");
        var text = new StringBuilder();
        text.AppendLine(Certificate.ExportCertificatePem());
        text.AppendLine(key.ExportPkcs8PrivateKeyPem());
        foreach (var authority in Authorities)
        {
            text.AppendLine(authority.ExportCertificatePem());
        }

        if (Secret is not null)
        {
            text.AppendLine(PemEncoding.WriteString(SecretLabel, Convert.FromHexString(Secret.ToHex())));
        }

        if (Token is not null)
        {
            text.AppendLine(PemEncoding.WriteString(TokenLabel, Encoding.ASCII.GetBytes(Token)));
        }

        OwnerFile.Write(path, text.ToString(), replace: true);
    }

    internal static IEnumerable<(string Label, string Pem, byte[] Data)> Blocks(string text)
    {
        while (PemEncoding.TryFind(text, out var found))
        {
            yield return (text[found.Label], text[found.Location], Convert.FromBase64String(text[found.Base64Data]));
            text = text[found.Location.End..];
        }
    }

    private static Identity Parse(string text)
    {
        var blocks = Blocks(text).ToList();
        var certificates = blocks.Where(b => b.Label == "CERTIFICATE").Select(b => b.Pem).ToList();
        var key = blocks.FirstOrDefault(b => b.Label == "PRIVATE KEY").Pem;
        if (certificates.Count < 2 || key is null)
        {
            throw new InvalidDataException("it lacks a certificate or a key");
        }

        return new Identity(
            X509Certificate2.CreateFromPem(certificates[0], key),
            [.. certificates.Skip(1).Select(pem => X509Certificate2.CreateFromPem(pem))],
            blocks.FirstOrDefault(b => b.Label == SecretLabel).Data is { } secret ? new ClusterSecret(secret) : null,
            blocks.FirstOrDefault(b => b.Label == TokenLabel).Data is { } token ? Encoding.ASCII.GetString(token) : null);
    }
}
