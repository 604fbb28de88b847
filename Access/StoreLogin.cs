using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using Godwit.Grains.Interfaces;
using StackExchange.Redis;

namespace Godwit.Access;

/// <summary>Where a cluster's store is, and what it asks for.</summary>
public sealed record StoreLogin
{
    /// <summary>Holds the password of a store that is not the embedded one, where no file is named.</summary>
    public const string PasswordVariable = "GODWIT_STORE_PASSWORD";

    /// <summary>HOST:PORT.</summary>
    public required string Address { get; init; }

    public string? Password { get; init; }

    public bool Tls { get; init; }

    /// <summary>With TLS: who may vouch for the store; empty: whom this machine trusts.</summary>
    public X509Certificate2Collection Authorities { get; init; } = [];

    /// <summary>With TLS: what this process shows where the store asks for a certificate.</summary>
    public X509Certificate2? Certificate { get; init; }

    /// <summary>
    /// The login of a store that was named, or else of the one that runs in the folder; null where none does. The password
    /// is the file's or the environment's; else, for the folder's own store only, derived from the folder's secret.
    /// </summary>
    public static StoreLogin? Find(string folder, string? address, string? passwordFile = null)
    {
        var note = LocalCluster.FindStore(folder);
        if ((address ?? note?.Address) is not { } known)
        {
            return null;
        }

        var password = passwordFile is not null ? OwnerFile.ReadSecret(passwordFile).TrimEnd('\r', '\n') : Environment.GetEnvironmentVariable(PasswordVariable);
        return new StoreLogin
        {
            Address = known,
            Password = !string.IsNullOrEmpty(password) ? password : note?.Address == known ? ClusterSecret.TryRead(folder)?.StorePassword : null,
        };
    }

    /// <summary>For StackExchange.Redis. Throws <see cref="ArgumentException"/> where the address is not HOST:PORT.</summary>
    public ConfigurationOptions Options()
    {
        if (Address.Contains(',') || !Address.Contains(':'))
        {
            throw new ArgumentException($"\"{Address}\" is not a store's address: write HOST:PORT.");
        }

        var options = ConfigurationOptions.Parse(Address);
        options.Password = Password;
        options.Ssl = Tls;
        if (!Tls)
        {
            return options;
        }

        options.SslHost = Address[..Address.LastIndexOf(':')];
        options.CertificateValidation += (_, shown, _, errors) => Vouched(shown, errors);
        options.CertificateSelection += (_, _, _, _, _) => Certificate!;
        return options;
    }

    /// <summary>Null where the store answers and lets this login in; otherwise why not, in one line.</summary>
    public async Task<string?> WhyNotAsync()
    {
        try
        {
            var options = Options();
            options.AbortOnConnectFail = true;
            options.ConnectTimeout = 3000;
            await using var redis = await ConnectionMultiplexer.ConnectAsync(options);
            await redis.GetDatabase().PingAsync();
            return null;
        }
        catch (Exception e) when (e is RedisException or TimeoutException)
        {
            return Asks(e)
                ? $"The store at {Address} asks for a {(Password is null ? "" : "different ")}password: name the cluster's folder with --cluster, or set {PasswordVariable} or --store-password-file."
                : $"No store answers at {Address}{(Tls ? " with TLS and a certificate that is trusted here" : "")}.";
        }
    }

    private static bool Asks(Exception? e) =>
        e is not null && (e.Message.Contains("NOAUTH", StringComparison.Ordinal) || e.Message.Contains("WRONGPASS", StringComparison.Ordinal)
            || e.Message.Contains("AuthenticationFailure", StringComparison.Ordinal) || Asks(e.InnerException));

    private bool Vouched(X509Certificate? shown, SslPolicyErrors errors)
    {
        if (Authorities.Count == 0 || shown is null)
        {
            return errors == SslPolicyErrors.None;
        }

        using var chain = new X509Chain();
        chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
        chain.ChainPolicy.CustomTrustStore.AddRange(Authorities);
        chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
        using var certificate = X509CertificateLoader.LoadCertificate(shown.GetRawCertData());
        return (errors & ~SslPolicyErrors.RemoteCertificateChainErrors) == SslPolicyErrors.None && chain.Build(certificate);
    }
}
