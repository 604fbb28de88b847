using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Godwit.Access.Roles;

namespace Godwit.Access.Certificates;

/// <summary>
/// Says who belongs to a cluster: an ECDSA P-256 key and its self-signed certificate (<c>authority.pem</c>), and a note of
/// what it has issued (<c>issued</c>), in a cluster folder that may be kept off line.
/// </summary>
public sealed class ClusterAuthority
{
    public const string FileName = "authority.pem";
    private const string IssuedFile = "issued";
    private const string ServerUse = "1.3.6.1.5.5.7.3.1";
    private const string ClientUse = "1.3.6.1.5.5.7.3.2";

    /// <summary>Certificates begin this much in the past, for machines whose clocks are behind.</summary>
    private static readonly TimeSpan _clockSlack = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan _ownLife = TimeSpan.FromDays(3650);

    private readonly string _folder;
    private readonly X509Certificate2 _certificate;
    private readonly ClusterSecret _secret;
    private readonly TimeProvider _time;

    private ClusterAuthority(string folder, X509Certificate2 certificate, ClusterSecret secret, TimeProvider time)
    {
        _folder = folder;
        _certificate = certificate;
        _secret = secret;
        _time = time;
    }

    public X509Certificate2 Certificate => _certificate;

    /// <summary>What a store of the cluster asks of silos, which know it too.</summary>
    public string StorePassword => _secret.StorePassword;

    /// <summary>Makes an authority in the folder. Throws <see cref="IOException"/> where there is one.</summary>
    public static ClusterAuthority Init(string folder, TimeProvider time)
    {
        var path = Path.Combine(folder, FileName);
        if (File.Exists(path))
        {
            throw new IOException($"{folder} has an authority already.");
        }

        var secret = ClusterSecret.ReadOrCreate(folder);
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN=godwit cluster {Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(4))}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: true, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        using var made = request.CreateSelfSigned(time.GetUtcNow() - _clockSlack, time.GetUtcNow() + _ownLife);
        OwnerFile.Write(path, $"{made.ExportCertificatePem()}\n{key.ExportPkcs8PrivateKeyPem()}\n", replace: false);
        return Open(folder, time);
    }

    /// <summary>Throws <see cref="IOException"/> with one line where the folder has none that this user can read.</summary>
    public static ClusterAuthority Open(string folder, TimeProvider time)
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
        {
            throw new IOException($"{folder} has no authority; \"godwit cluster init\" makes one.");
        }

        var pem = OwnerFile.ReadSecret(path);
        return new ClusterAuthority(folder, X509Certificate2.CreateFromPem(pem, pem), ClusterSecret.ReadOrCreate(folder), time);
    }

    /// <param name="addresses">Where it may listen; none: anywhere.</param>
    public Identity IssueSilo(string name, IReadOnlyCollection<IPAddress> addresses, TimeSpan life) =>
        new(Issue(PeerKind.Silo, name, addresses, life, null), [PublicOnly()], _secret, token: null);

    /// <param name="addresses">Where the store listens: at least one.</param>
    public Identity IssueStore(string name, IReadOnlyCollection<IPAddress> addresses, TimeSpan life) =>
        new(Issue(PeerKind.Store, name, addresses, life, null), [PublicOnly()], secret: null, token: null);

    public Identity IssueClient(string name, ClusterRole role, TimeSpan life)
    {
        var certificate = Issue(PeerKind.Client, name, [], life, role);
        using var key = _certificate.GetECDsaPrivateKey()!;
        var token = new ClientToken(name, role, certificate.SerialNumber, certificate.NotAfter.ToUniversalTime()).Sign(key);
        return new Identity(certificate, [PublicOnly()], secret: null, token);
    }

    /// <summary>What was issued, oldest first.</summary>
    public IReadOnlyList<IssuedNote> Issued() =>
        File.Exists(Path.Combine(_folder, IssuedFile))
            ? [.. File.ReadLines(Path.Combine(_folder, IssuedFile)).Where(l => l.Length > 0).Select(l => JsonSerializer.Deserialize<IssuedNote>(l, JsonSerializerOptions.Web)!)]
            : [];

    /// <summary>Revokes all that was issued to a name and has not expired; returns it. The file must then go to every silo's folder.</summary>
    public IReadOnlyList<IssuedNote> Revoke(string name)
    {
        var list = new RevocationList(_folder, _time);
        var revoked = Issued().Where(i => i.Name == name && i.NotAfter > _time.GetUtcNow() && !list.Contains(i.Serial)).ToList();
        foreach (var note in revoked)
        {
            RevocationList.Add(_folder, note.Serial, $"{note.Kind} {note.Name}");
        }

        return revoked;
    }

    private X509Certificate2 Issue(PeerKind kind, string name, IReadOnlyCollection<IPAddress> addresses, TimeSpan life, ClusterRole? role)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest(PeerIdentity.Subject(kind, name), key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, hasPathLengthConstraint: false, pathLengthConstraint: 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(kind == PeerKind.Client ? [new Oid(ClientUse)] : [new Oid(ServerUse), new Oid(ClientUse)], critical: true));
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_certificate, includeKeyIdentifier: true, includeIssuerAndSerial: false));
        if (addresses.Count > 0)
        {
            var names = new SubjectAlternativeNameBuilder();
            foreach (var address in addresses)
            {
                names.AddIpAddress(address);
            }

            request.CertificateExtensions.Add(names.Build());
        }

        var now = _time.GetUtcNow();
        var end = now + life < _certificate.NotAfter ? now + life : new DateTimeOffset(_certificate.NotAfter);
        using var bare = request.Create(_certificate, now - _clockSlack, end, RandomNumberGenerator.GetBytes(16));
        var made = bare.CopyWithPrivateKey(key);
        var note = new IssuedNote(made.SerialNumber, kind, name, role, made.NotAfter.ToUniversalTime());
        File.AppendAllText(Path.Combine(_folder, IssuedFile), JsonSerializer.Serialize(note, JsonSerializerOptions.Web) + "\n");
        return made;
    }

    private X509Certificate2 PublicOnly() => X509CertificateLoader.LoadCertificate(_certificate.RawData);
}

/// <summary>One line of what an authority has issued.</summary>
public sealed record IssuedNote(string Serial, PeerKind Kind, string Name, ClusterRole? Role, DateTimeOffset NotAfter);
