using System.Formats.Tar;
using System.Text;
using System.Text.RegularExpressions;
using Godwit.Cli.Guest;

namespace Godwit.Linux.Tests.Guests;

/// <summary>
/// The kernel's own implementations of ciphers and hashes for x86 (AES, SHA, PCLMULQDQ, AVX, AVX2, ADX), with the modules that they
/// need, out of its Debian package. The kernel tests each when it is loaded, against its vectors and its portable code.
/// </summary>
internal static partial class CryptoModules
{
    /// <summary>Prints each algorithm with its driver and what became of its test.</summary>
    public const string Report = "awk '/^driver/{d=$3}/^selftest/{print d, $3}' /proc/crypto";

    /// <summary>Loads them all.</summary>
    public const string Command = "sh crypto.sh";

    private const string Script = "crypto.sh";

    /// <summary>Portable code to compare with, and the modes in which ciphers are used.</summary>
    private static readonly string[] s_portable =
    [
        "ecb", "ctr", "gcm", "xts", "cts", "ccm", "cmac", "sha512_generic", "ghash_generic", "chacha_generic", "poly1305_generic", "serpent_generic",
        "twofish_generic", "camellia_generic", "cast5_generic", "cast6_generic", "blowfish_generic", "des_generic", "aegis128", "nhpoly1305", "adiantum",
    ];

    /// <summary>The modules and a script that loads them in order, for the initramfs; downloaded once for each kernel.</summary>
    public static async Task<IReadOnlyList<InitramfsFile>> FilesAsync(LinuxGuest guest)
    {
        string folder = Path.Combine(GuestCache.DefaultFolder(), $"crypto-{guest.Version}");
        if (!Directory.Exists(folder))
            await FetchAsync(guest, folder);
        Dictionary<string, byte[]> modules = Directory.EnumerateFiles(folder, "*.ko").ToDictionary(path => Name(path), File.ReadAllBytes);
        List<string> order = [];
        HashSet<string> arch = [.. File.ReadAllLines(Path.Combine(folder, "x86"))];
        foreach (string name in s_portable.Concat(arch.Order(StringComparer.Ordinal)))
            Add(name, modules, order);
        string script = string.Concat(order.Select(name => $"insmod ./{name}.ko || echo {name} cannot be loaded\n"));
        return
        [
            .. order.Select(name => new InitramfsFile($"root/{name}.ko", modules[name], Executable: false)),
            new InitramfsFile($"root/{Script}", Encoding.ASCII.GetBytes(script), Executable: false),
        ];
    }

    private static void Add(string name, Dictionary<string, byte[]> modules, List<string> order)
    {
        if (order.Contains(name) || !modules.TryGetValue(name, out byte[]? module))
            return;
        Match depends = Depends().Match(Encoding.Latin1.GetString(module));
        foreach (string other in depends.Groups[1].Value.Split(',', StringSplitOptions.RemoveEmptyEntries))
            Add(other.Replace('-', '_'), modules, order);
        order.Add(name);
    }

    private static async Task FetchAsync(LinuxGuest guest, string folder)
    {
        GuestCache cache = new(GuestCache.DefaultFolder());
        using IDisposable only = await cache.LockAsync(() => { }, default);
        if (Directory.Exists(folder))
            return;
        using ScratchFolder scratch = cache.CreateScratch();
        AptRepository repository = new(new AptOptions { Directory = cache.AptFolder });
        await repository.UpdateAsync(_ => { }, default);
        AptPackage package = new(guest.Kernel.Package, guest.Kernel.PackageVersion, guest.Kernel.PackageSha256, "");
        string file = (await repository.DownloadAsync([package], scratch.Subfolder("package"), _ => { }, default))[0];
        string unpacked = scratch.Subfolder("modules");
        List<string> arch = [];
        await ToolProcess.StreamAsync("dpkg-deb", ["--fsys-tarfile", file], unpacked, async stream =>
        {
            await using TarReader tar = new(stream);
            while (await tar.GetNextEntryAsync() is { } entry)
            {
                if (entry.DataStream is null || !ModulePath().IsMatch(entry.Name))
                    continue;
                await entry.ExtractToFileAsync(Path.Combine(unpacked, $"{Name(entry.Name)}.ko"), overwrite: true);
                if (entry.Name.Contains("/arch/x86/", StringComparison.Ordinal))
                    arch.Add(Name(entry.Name));
            }
        }, default);
        await File.WriteAllLinesAsync(Path.Combine(unpacked, "x86"), arch);
        Directory.Move(unpacked, folder);
    }

    private static string Name(string path) => Path.GetFileNameWithoutExtension(path).Replace('-', '_');

    [GeneratedRegex(@"/kernel/(arch/x86/crypto|crypto|lib/crypto|lib|crypto/async_tx)/[^/]+\.ko$")]
    private static partial Regex ModulePath();

    [GeneratedRegex(@"\0depends=([^\0]*)\0")]
    private static partial Regex Depends();
}
