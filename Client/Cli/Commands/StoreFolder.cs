using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using Godwit.Access;
using Godwit.Access.Certificates;

namespace Godwit.Cli.Commands;

/// <summary>What a Redis needs to be a cluster's store on a machine of its own: certificate, key, authority and settings.</summary>
internal static class StoreFolder
{
    /// <param name="identity">A store's; Redis listens at the addresses that it names, or everywhere where it names none.</param>
    public static void Write(string folder, Identity identity, int port, string password)
    {
        using var key = identity.Certificate.GetECDsaPrivateKey() ?? throw new InvalidOperationException("A store is issued with its private key.");
        OwnerFile.CreateFolder(folder);
        OwnerFile.Write(Path.Combine(folder, "store.crt"), identity.Certificate.ExportCertificatePem() + "\n", replace: true);
        OwnerFile.Write(Path.Combine(folder, "store.key"), key.ExportPkcs8PrivateKeyPem() + "\n", replace: true);
        OwnerFile.Write(Path.Combine(folder, "authority.crt"), identity.Authorities[0].ExportCertificatePem() + "\n", replace: true);
        OwnerFile.Write(Path.Combine(folder, "redis.conf"), Settings(identity.Peer, port, password), replace: true);
    }

    /// <summary>Paths are those of the folder that Redis is started in: it is copied to another machine.</summary>
    private static string Settings(PeerIdentity store, int port, string password) => string.Create(CultureInfo.InvariantCulture, $"""
        # Redis as the store of a Godwit cluster; start it in this folder: redis-server redis.conf
        bind {(store.Addresses.Count > 0 ? string.Join(' ', store.Addresses) : "* -::*")}
        port 0
        tls-port {port}
        tls-cert-file store.crt
        tls-key-file store.key
        tls-ca-cert-file authority.crt
        tls-auth-clients yes
        tls-protocols "TLSv1.3"
        requirepass {password}
        # An ownership record that was acknowledged must survive.
        appendonly yes
        appendfsync always
        save ""
        maxmemory-policy noeviction

        """);
}
