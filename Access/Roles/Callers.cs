using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Godwit.Access.Certificates;

namespace Godwit.Access.Roles;

/// <summary>Who is behind a credential.</summary>
public sealed record Caller(string Name, ClusterRole Role);

/// <summary>Knows callers by their credentials. Tokens' signatures are checked once; their time and revocation on every call.</summary>
public sealed class Callers
{
    private const int MostKnown = 1024;

    private readonly byte[] _silo;
    private readonly byte[] _owner;
    private readonly Identity? _identity;
    private readonly RevocationList? _revoked;
    private readonly TimeProvider _time;
    private readonly ConcurrentDictionary<string, ClientToken> _known = new();

    /// <param name="identity">The silo's, with the authorities whose tokens count; null in a cluster without an authority.</param>
    public Callers(ClusterSecret secret, Identity? identity, RevocationList? revoked, TimeProvider time)
    {
        _silo = Encoding.UTF8.GetBytes(CallCredential.SiloPrefix + secret.SiloCredential);
        _owner = Encoding.UTF8.GetBytes(CallCredential.OwnerPrefix + secret.OwnerCredential);
        _identity = identity;
        _revoked = revoked;
        _time = time;
    }

    /// <summary>Throws <see cref="AccessRefusedException"/> with one line where the credential is nobody's.</summary>
    public Caller Identify(string? credential)
    {
        if (string.IsNullOrEmpty(credential))
        {
            throw new AccessRefusedException("the call does not say whom it is from");
        }

        var bytes = Encoding.UTF8.GetBytes(credential);
        if (CryptographicOperations.FixedTimeEquals(bytes, _silo))
        {
            return new Caller("a silo", ClusterRole.Silo);
        }

        if (CryptographicOperations.FixedTimeEquals(bytes, _owner))
        {
            return new Caller("the owner", ClusterRole.Admin);
        }

        var token = TokenOf(credential);
        if (token.NotAfter <= _time.GetUtcNow())
        {
            throw new AccessRefusedException($"the token of {token.Name} has expired ({token.NotAfter:u}); have a new one issued");
        }

        if (_revoked?.Contains(token.Serial) == true)
        {
            throw new AccessRefusedException($"the token of {token.Name} is revoked");
        }

        return new Caller(token.Name, token.Role);
    }

    private ClientToken TokenOf(string credential)
    {
        if (_known.TryGetValue(credential, out var known))
        {
            return known;
        }

        if (_identity is null || !credential.StartsWith(CallCredential.TokenPrefix, StringComparison.Ordinal)
            || ClientToken.TryVerify(credential[CallCredential.TokenPrefix.Length..], _identity.Authorities) is not { } token)
        {
            throw new AccessRefusedException("the call's token is not from this cluster's authority");
        }

        if (_known.Count < MostKnown)
        {
            _known[credential] = token;
        }

        return token;
    }
}
