using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Godwit.Cli.Guest;

/// <summary>A file that a fetch kept.</summary>
/// <param name="Package">The Debian package it is from.</param>
/// <param name="PackageVersion">Its version.</param>
/// <param name="PackageSha256">SHA-256 of the .deb, as the signed lists give it; lower-case hex.</param>
/// <param name="File">File name beside the manifest.</param>
/// <param name="Sha256">SHA-256 of the file; lower-case hex.</param>
public sealed record GuestManifestEntry(string Package, string PackageVersion, string PackageSha256, string File, string Sha256);

/// <summary>What lies in one cached guest's folder: manifest.json.</summary>
public sealed record GuestManifest(int Format, GuestManifestEntry Kernel, GuestManifestEntry Busybox)
{
    public const string FileName = "manifest.json";
    public const int CurrentFormat = 1;

    /// <summary>Reads a folder's manifest and the files it names; null where anything is missing or not as it was written.</summary>
    internal static async Task<(GuestManifest Manifest, byte[] Busybox)?> ReadCheckedAsync(string folder, CancellationToken cancellation)
    {
        try
        {
            byte[] json = await File.ReadAllBytesAsync(Path.Combine(folder, FileName), cancellation).ConfigureAwait(false);
            GuestManifest? manifest = JsonSerializer.Deserialize(json, GuestJson.Default.GuestManifest);
            if (manifest is not { Format: CurrentFormat, Kernel.File: GuestCache.KernelFile, Busybox.File: GuestCache.BusyboxFile })
                return null;
            byte[] kernel = await File.ReadAllBytesAsync(Path.Combine(folder, GuestCache.KernelFile), cancellation).ConfigureAwait(false);
            byte[] busybox = await File.ReadAllBytesAsync(Path.Combine(folder, GuestCache.BusyboxFile), cancellation).ConfigureAwait(false);
            return Digest(kernel) == manifest.Kernel.Sha256 && Digest(busybox) == manifest.Busybox.Sha256 ? (manifest, busybox) : null;
        }
        catch (Exception e) when (e is JsonException or FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>SHA-256 in lower-case hex.</summary>
    internal static string Digest(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}

/// <summary>The JSON of manifests and of `guest fetch --json`.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true)]
[JsonSerializable(typeof(GuestManifest))]
[JsonSerializable(typeof(LinuxGuest))]
internal sealed partial class GuestJson : JsonSerializerContext
{
    /// <summary>For files that people read.</summary>
    public static GuestJson Indented => new(new JsonSerializerOptions(Default.Options) { WriteIndented = true });
}
