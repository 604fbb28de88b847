using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Godwit.Access.Certificates;
using Godwit.Grains.Interfaces;
using StackExchange.Redis;

namespace Godwit.Access;

/// <summary>Where a cluster's store is, and what it asks for.</summary>
public sealed record StoreLogin
{
    /// <summary>Holds the password of a store that is not the embedded one, where no file is named.</summary>
    public const string PasswordVariable = "GODWIT_STORE_PASSWORD";

    private static readonly TimeSpan _probeLimit = TimeSpan.FromSeconds(2);

    /// <summary>HOST:PORT.</summary>
    public required string Address { get; init; }

    public string? Password { get; init; }

    public bool Tls { get; init; }

    /// <summary>The address is not this machine's own: what is said to it crosses a network. A name that is not "localhost" counts as such.</summary>
    public bool Remote =>
        Address[..Math.Max(Address.LastIndexOf(':'), 0)].Trim('[', ']') is var host && host != "localhost" && !(IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));

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
    public ConfigurationOptions Options() => Options(new Distrust());

    private ConfigurationOptions Options(Distrust distrusted)
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

        options.SslHost = Address[..Address.LastIndexOf(':')].Trim('[', ']');
        options.CertificateValidation += (_, shown, _, errors) => (distrusted.Reason = WhyDistrusted(shown, errors)) is null;
        options.CertificateSelection += (_, _, _, _, _) => Certificate!;
        return options;
    }

    /// <summary>Null where the store answers and lets this login in; otherwise why not, in one line.</summary>
    public async Task<string?> WhyNotAsync()
    {
        var distrusted = new Distrust();
        try
        {
            var options = Options(distrusted);
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
                : distrusted.Reason is { } reason ? $"The store at {Address} is not trusted: {reason}."
                : Tls ? await AnswersAsync() ? $"The store at {Address} does not speak TLS, or asks for a certificate of another authority: leave --store-tls out for a store without TLS." : $"No store answers at {Address}."
                : await AnswersTlsAsync() ? $"The store at {Address} speaks TLS: say --store-tls." : $"No store answers at {Address}.";
        }
    }

    private static bool Asks(Exception? e) =>
        e is not null && (e.Message.Contains("NOAUTH", StringComparison.Ordinal) || e.Message.Contains("WRONGPASS", StringComparison.Ordinal)
            || e.Message.Contains("AuthenticationFailure", StringComparison.Ordinal) || Asks(e.InnerException));

    /// <summary>Whether anybody takes connections at the address.</summary>
    private async Task<bool> AnswersAsync()
    {
        using var socket = new TcpClient();
        return await TryConnectAsync(socket);
    }

    /// <summary>Whether what listens at the address has a certificate to show.</summary>
    private async Task<bool> AnswersTlsAsync()
    {
        using var socket = new TcpClient();
        if (!await TryConnectAsync(socket))
        {
            return false;
        }

        // Nothing is said on it: whose certificate it is does not matter here.
        var shown = false;
        using var limit = new CancellationTokenSource(_probeLimit);
        await using var secured = new SslStream(socket.GetStream());
        try
        {
            await secured.AuthenticateAsClientAsync(
                new SslClientAuthenticationOptions { TargetHost = "store", RemoteCertificateValidationCallback = (_, certificate, _, _) => shown = certificate is not null },
                limit.Token);
        }
        catch (Exception e) when (e is IOException or AuthenticationException or OperationCanceledException)
        {
            // It speaks something else, or does not like a client without a certificate.
        }

        return shown;
    }

    private async Task<bool> TryConnectAsync(TcpClient socket)
    {
        var colon = Address.LastIndexOf(':');
        using var limit = new CancellationTokenSource(_probeLimit);
        try
        {
            await socket.ConnectAsync(Address[..colon].Trim('[', ']'), int.Parse(Address.AsSpan(colon + 1), CultureInfo.InvariantCulture), limit.Token);
            return true;
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or FormatException or ArgumentException)
        {
            return false;
        }
    }

    /// <summary>Null: the certificate is the store's.</summary>
    private string? WhyDistrusted(X509Certificate? shown, SslPolicyErrors errors)
    {
        if (shown is null)
        {
            return "it shows no certificate";
        }

        using var certificate = X509CertificateLoader.LoadCertificate(shown.GetRawCertData());
        if (Authorities.Count > 0)
        {
            using var chain = new X509Chain();
            chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            chain.ChainPolicy.CustomTrustStore.AddRange(Authorities);
            chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
            if (!chain.Build(certificate))
            {
                return "its certificate is not from this cluster's authority, or has expired";
            }

            if (!IsStores(certificate))
            {
                return "its certificate was issued to a silo or a client, and not to a store";
            }
        }
        else if (errors.HasFlag(SslPolicyErrors.RemoteCertificateChainErrors))
        {
            return "its certificate is from nobody whom this machine trusts";
        }

        return errors.HasFlag(SslPolicyErrors.RemoteCertificateNameMismatch) ? "its certificate is for another address" : null;
    }

    private static bool IsStores(X509Certificate2 certificate)
    {
        try
        {
            return PeerIdentity.Of(certificate).Kind == PeerKind.Store;
        }
        catch (AccessRefusedException)
        {
            return false;
        }
    }

    /// <summary>Why the certificate that was last shown is not the store's.</summary>
    private sealed class Distrust
    {
        public string? Reason { get; set; }
    }
}
