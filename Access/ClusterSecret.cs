using System.Security.Cryptography;
using System.Text;

namespace Godwit.Access;

/// <summary>
/// What the owner of a cluster folder knows and nobody else does: 32 random bytes in a file of mode 0600. What is shown on
/// a connection or written into a command is derived from it (HKDF-SHA256, RFC 5869), each use with a key of its own.
/// </summary>
public sealed class ClusterSecret
{
    public const int Length = 32;

    /// <summary>The secret's file in the cluster folder: 64 hex digits.</summary>
    public const string FileName = "token";

    private readonly byte[] _bytes;

    public ClusterSecret(byte[] bytes) =>
        _bytes = bytes.Length == Length ? bytes : throw new InvalidDataException($"A cluster's secret has {Length} bytes, not {bytes.Length}.");

    /// <summary>What the embedded store asks of silos and clients.</summary>
    public string StorePassword => Convert.ToHexStringLower(Derive("store password"));

    /// <summary>Shown by a data connection's source, 32 bytes.</summary>
    public byte[] DataToken => Derive("data connection");

    /// <summary>What the grain calls of silos carry.</summary>
    public string SiloCredential => Convert.ToHexStringLower(Derive("calls of silos"));

    /// <summary>What the grain calls of the folder's owner carry.</summary>
    public string OwnerCredential => Convert.ToHexStringLower(Derive("calls of the owner"));

    /// <summary>The folder's secret, made on first use.</summary>
    public static ClusterSecret ReadOrCreate(string folder)
    {
        OwnerFile.CreateFolder(folder);
        OwnerFile.Write(Path.Combine(folder, FileName), New().ToHex(), replace: false);
        return TryRead(folder) ?? throw new IOException($"{Path.Combine(folder, FileName)} was removed as soon as it was made.");
    }

    /// <summary>The folder's secret; null where there is none. Throws where it is damaged, or not its owner's alone.</summary>
    public static ClusterSecret? TryRead(string folder)
    {
        var path = Path.Combine(folder, FileName);
        return File.Exists(path) ? Parse(OwnerFile.ReadSecret(path), path) : null;
    }

    public static ClusterSecret New() => new(RandomNumberGenerator.GetBytes(Length));

    public static ClusterSecret Parse(string text, string source)
    {
        var hex = text.Trim();
        return hex.Length == 2 * Length && hex.All(char.IsAsciiHexDigit)
            ? new ClusterSecret(Convert.FromHexString(hex))
            : throw new InvalidDataException($"{source} does not hold {2 * Length} hex digits; remove it while no silo runs.");
    }

    public string ToHex() => Convert.ToHexStringLower(_bytes);

    internal byte[] Derive(string use) => HKDF.DeriveKey(HashAlgorithmName.SHA256, _bytes, Length, info: Encoding.UTF8.GetBytes("godwit: " + use));
}
