using Godwit.Access.Certificates;
using Godwit.Access.Roles;

namespace Godwit.Access;

/// <summary>What makes a silo process one of its cluster: the cluster's secret and, beyond one machine, its certificate.</summary>
public sealed class Membership
{
    private Membership(ClusterSecret secret, ConnectionGuard guard, Callers callers, Identity? identity)
    {
        Secret = secret;
        Guard = guard;
        Callers = callers;
        Identity = identity;
    }

    public ClusterSecret Secret { get; }

    public ConnectionGuard Guard { get; }

    public Callers Callers { get; }

    /// <summary>Null in a cluster without an authority.</summary>
    public Identity? Identity { get; }

    /// <summary>
    /// The folder's: by its identity where there is one, else by its secret, which is made on first use. Throws
    /// <see cref="IOException"/> with one line where the identity is not a silo's.
    /// </summary>
    /// <param name="identityFile">Null: <see cref="Identity.FileName"/> in the folder, if it is there.</param>
    public static Membership OfSilo(string folder, string? identityFile, TimeProvider time)
    {
        var path = identityFile ?? Path.Combine(folder, Identity.FileName);
        if (Identity.TryRead(path) is not { } identity)
        {
            if (identityFile is not null)
            {
                throw new IOException($"There is no identity {identityFile}.");
            }

            var secret = ClusterSecret.ReadOrCreate(folder);
            return new Membership(secret, new SecretGuard(secret), new Callers(secret, null, null, time), null);
        }

        if (identity.Peer.Kind != PeerKind.Silo || identity.Secret is null)
        {
            throw new IOException($"{path} is a {identity.Peer.Kind.ToString().ToLowerInvariant()}'s identity, and no silo's.");
        }

        if (identity.Certificate.NotAfter.ToUniversalTime() <= time.GetUtcNow())
        {
            throw new IOException($"The certificate of silo {identity.Peer.Name} has expired ({identity.Certificate.NotAfter.ToUniversalTime():u}); have a new one issued (godwit cluster issue silo).");
        }

        var revoked = new RevocationList(folder, time);
        return new Membership(
            identity.Secret,
            new TlsGuard(identity, new PeerVerifier(identity.Authorities, revoked, time)),
            new Callers(identity.Secret, identity, revoked, time),
            identity);
    }
}
