namespace Godwit.Access;

/// <summary>What a client needs to reach a cluster and to be let in.</summary>
public sealed record ClusterAccess
{
    /// <summary>The store that knows the cluster's gateways; null where they are named.</summary>
    public StoreLogin? Store { get; init; }

    /// <summary>The cluster, for messages.</summary>
    public string Where => Store!.Address;

    /// <summary>What is done on each connection before it is used.</summary>
    public required ConnectionGuard Guard { get; init; }

    /// <summary>Whom the client's calls are from.</summary>
    public required string Credential { get; init; }

    /// <summary>
    /// The cluster of a folder on this machine. Throws <see cref="IOException"/> with one line where the folder holds no
    /// secret that this user can read, or no store is known.
    /// </summary>
    /// <param name="store">HOST:PORT; null: the store that runs in the folder.</param>
    public static ClusterAccess Open(string folder, string? store = null, string? storePasswordFile = null)
    {
        try
        {
            var login = StoreLogin.Find(folder, store, storePasswordFile)
                ?? throw new IOException($"No cluster runs here (no store in {folder}); start one with \"godwit silo\", or name its store with --store.");
            var secret = ClusterSecret.TryRead(folder)
                ?? throw new IOException($"{folder} holds no cluster's secret: name the folder that the cluster's silos were started with (--cluster).");
            return new ClusterAccess { Store = login, Guard = new SecretGuard(secret), Credential = "owner:" + secret.OwnerCredential };
        }
        catch (UnauthorizedAccessException)
        {
            throw new IOException($"The cluster in {folder} is another user's: only its owner may command it.");
        }
    }
}
