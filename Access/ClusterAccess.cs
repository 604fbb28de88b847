using System.Net;
using Godwit.Access.Certificates;
using Godwit.Access.Roles;

namespace Godwit.Access;

/// <summary>What a client needs to reach a cluster and to be let in.</summary>
public sealed record ClusterAccess
{
    /// <summary>In a client's folder: where silos take clients, one HOST:PORT a line.</summary>
    public const string GatewaysFile = "gateways";

    /// <summary>The store that knows the cluster's gateways; null where they are named.</summary>
    public StoreLogin? Store { get; init; }

    /// <summary>Where silos take clients: HOST:PORT. Empty where the store knows.</summary>
    public IReadOnlyList<string> Gateways { get; init; } = [];

    /// <summary>The cluster, for messages.</summary>
    public string Where => Store?.Address ?? string.Join(", ", Gateways);

    /// <summary>What is done on each connection before it is used.</summary>
    public required ConnectionGuard Guard { get; init; }

    /// <summary>Whom the client's calls are from (<see cref="CallCredential"/>).</summary>
    public required string Credential { get; init; }

    /// <summary>
    /// What a folder holds: an identity that the cluster's authority issued, or the secret of a cluster on this machine.
    /// Throws <see cref="IOException"/> with one line where it holds neither, or does not say where the cluster is.
    /// </summary>
    /// <param name="store">HOST:PORT; null: the store that runs in the folder.</param>
    /// <param name="gateways">HOST:PORT each; null or empty: those of the folder's file, or else those that the store knows.</param>
    public static ClusterAccess Open(string folder, string? store = null, string? storePasswordFile = null, IReadOnlyList<string>? gateways = null)
    {
        try
        {
            var known = gateways is { Count: > 0 } ? gateways : store is null ? ReadGateways(folder) : [];
            var login = known.Count > 0 ? null : StoreLogin.Find(folder, store, storePasswordFile)
                ?? throw new IOException($"No cluster runs here (no store in {folder}); start one with \"godwit silo\", or name its silos with --gateway or its store with --store.");
            return Identity.TryRead(Path.Combine(folder, Identity.FileName)) is { } identity
                ? OfIdentity(identity, folder, login, known)
                : OfSecret(folder, login, known);
        }
        catch (UnauthorizedAccessException)
        {
            throw new IOException($"The cluster in {folder} is another user's: only its owner may command it.");
        }
    }

    /// <summary>The gateways' addresses; throws <see cref="IOException"/> where one is no HOST:PORT, or its host is not known.</summary>
    public async Task<IPEndPoint[]> ResolveGatewaysAsync(CancellationToken cancellation)
    {
        var found = new List<IPEndPoint>();
        foreach (var gateway in Gateways)
        {
            var colon = gateway.LastIndexOf(':');
            if (colon <= 0 || !ushort.TryParse(gateway.AsSpan(colon + 1), out var port) || port == 0)
            {
                throw new IOException($"\"{gateway}\" is not a gateway: write HOST:PORT.");
            }

            try
            {
                found.AddRange((await Dns.GetHostAddressesAsync(gateway[..colon], cancellation)).Select(a => new IPEndPoint(a, port)));
            }
            catch (System.Net.Sockets.SocketException e)
            {
                throw new IOException($"The gateway {gateway} is not known: {e.Message}.", e);
            }
        }

        return [.. found];
    }

    private static string[] ReadGateways(string folder)
    {
        var path = Path.Combine(folder, GatewaysFile);
        return File.Exists(path) ? [.. File.ReadLines(path).Select(l => l.Trim()).Where(l => l.Length > 0)] : [];
    }

    private static ClusterAccess OfIdentity(Identity identity, string folder, StoreLogin? login, IReadOnlyList<string> gateways)
    {
        // A silo's machine may command its cluster: who reads its secret could in any case.
        var credential = identity switch
        {
            { Token: { } token } => CallCredential.TokenPrefix + token,
            { Secret: { } secret } => CallCredential.OwnerPrefix + secret.OwnerCredential,
            _ => throw new IOException($"The identity in {folder} is a {identity.Peer.Kind.ToString().ToLowerInvariant()}'s, and no client's."),
        };
        var verifier = new PeerVerifier(identity.Authorities, new RevocationList(folder, TimeProvider.System), TimeProvider.System);
        return new ClusterAccess { Store = login, Gateways = gateways, Guard = new TlsGuard(identity, verifier), Credential = credential };
    }

    private static ClusterAccess OfSecret(string folder, StoreLogin? login, IReadOnlyList<string> gateways)
    {
        var secret = ClusterSecret.TryRead(folder)
            ?? throw new IOException($"{folder} holds neither a cluster's secret nor an identity: name the folder that the cluster's silos were started with, or the one that was issued to you (--cluster).");
        return new ClusterAccess { Store = login, Gateways = gateways, Guard = new SecretGuard(secret), Credential = CallCredential.OwnerPrefix + secret.OwnerCredential };
    }
}
