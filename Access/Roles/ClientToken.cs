using System.Buffers.Text;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Godwit.Access.Roles;

/// <summary>
/// What the authority says of a client: name, role, its certificate's serial, end. Text: base64url of UTF-8 JSON, ".",
/// base64url of the authority's ECDSA signature (SHA-256, IEEE P1363) over the part before the dot.
/// </summary>
public sealed record ClientToken(string Name, ClusterRole Role, string Serial, DateTimeOffset NotAfter)
{
    private const int MostLength = 2048;

    private static readonly JsonSerializerOptions _json = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase, allowIntegerValues: false) },
        RespectRequiredConstructorParameters = true,
        RespectNullableAnnotations = true,
    };

    public string Sign(ECDsa authority)
    {
        var body = Base64Url.EncodeToString(JsonSerializer.SerializeToUtf8Bytes(this, _json));
        return $"{body}.{Base64Url.EncodeToString(authority.SignData(System.Text.Encoding.ASCII.GetBytes(body), HashAlgorithmName.SHA256))}";
    }

    /// <summary>Null where no authority has signed it. Its time is not looked at.</summary>
    public static ClientToken? TryVerify(string text, X509Certificate2Collection authorities)
    {
        var dot = text.IndexOf('.');
        if (text.Length > MostLength || dot < 0)
        {
            return null;
        }

        try
        {
            var signature = Base64Url.DecodeFromChars(text.AsSpan(dot + 1));
            var body = System.Text.Encoding.ASCII.GetBytes(text[..dot]);
            foreach (var authority in authorities)
            {
                using var key = authority.GetECDsaPublicKey();
                if (key is not null && key.VerifyData(body, signature, HashAlgorithmName.SHA256))
                {
                    // Silos are known by the secret, never by a token.
                    return JsonSerializer.Deserialize<ClientToken>(Base64Url.DecodeFromChars(text.AsSpan(0, dot)), _json) is { Role: not ClusterRole.Silo } token ? token : null;
                }
            }
        }
        catch (Exception e) when (e is FormatException or JsonException or CryptographicException)
        {
            return null;
        }

        return null;
    }
}
