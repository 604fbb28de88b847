using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Godwit.Cli.Guest;

/// <summary>A package as the signed package lists describe it.</summary>
internal sealed record AptPackage(string Name, string Version, string Sha256, string Depends);

/// <summary>
/// Debian's packages through Debian's own apt, which knows sources, proxies, mirrors and signatures. It works as any user:
/// lists and caches are private, and nothing is installed.
/// </summary>
internal sealed partial class AptRepository(AptOptions options)
{
    /// <summary>How long package lists are taken as they are: Debian renews them a few times a day.</summary>
    private static readonly TimeSpan ListsStayFresh = TimeSpan.FromHours(12);

    private const string CheckSources = "check the network and /etc/apt/sources.list";

    private bool _renewed;

    private string Configuration => Path.Combine(options.Directory, "apt.conf");

    /// <summary>The file whose age is that of the lists.</summary>
    private string Stamp => Path.Combine(options.Directory, "lists-updated");

    /// <summary>Renews the package lists where they are older than <see cref="ListsStayFresh"/>.</summary>
    /// <returns>What apt complained of, or null; lists of some sources may be there all the same.</returns>
    public async Task<string?> UpdateAsync(Action<double> percent, CancellationToken cancellation)
    {
        WriteConfiguration();
        if (File.Exists(Stamp) && DateTime.UtcNow - File.GetLastWriteTimeUtc(Stamp) is { } age && age >= TimeSpan.Zero && age < ListsStayFresh)
            return null;
        _renewed = true;
        ToolResult result = await RunAptGetAsync(["update"], options.Directory, percent, cancellation).ConfigureAwait(false);
        // Without a network apt-get warns and still exits with 0.
        string? complaint = Complaint(result);
        if (complaint is null)
            await File.WriteAllTextAsync(Stamp, "", cancellation).ConfigureAwait(false);
        return complaint;
    }

    /// <summary>Makes the next <see cref="UpdateAsync"/> renew the lists; false where they were renewed in this run already.</summary>
    public bool DistrustLists()
    {
        if (_renewed)
            return false;
        File.Delete(Stamp);
        return true;
    }

    /// <summary>Looks a package up; null where no list has it.</summary>
    public async Task<AptPackage?> FindAsync(string name, CancellationToken cancellation)
    {
        ToolResult result = await ToolProcess.RunAsync(options.AptCache, ["-c", Configuration, "--no-all-versions", "show", name], options.Directory, null, cancellation).ConfigureAwait(false);
        if (result.ExitCode != 0)
            return null;
        Dictionary<string, string> fields = new(StringComparer.Ordinal);
        foreach (Match match in result.Output.Select(line => Field().Match(line)).Where(m => m.Success))
            fields.TryAdd(match.Groups[1].Value, match.Groups[2].Value);
        return fields.TryGetValue("Version", out string? version) && fields.TryGetValue("SHA256", out string? sha256)
            ? new AptPackage(name, version, sha256, fields.GetValueOrDefault("Depends", ""))
            : null;
    }

    /// <summary>Downloads packages into an empty folder; apt checks them against the signed lists. Returns their paths, in order.</summary>
    public async Task<IReadOnlyList<string>> DownloadAsync(IReadOnlyList<AptPackage> packages, string folder, Action<double> percent, CancellationToken cancellation)
    {
        List<string> arguments = ["download", .. packages.Select(p => $"{p.Name}={p.Version}")];
        ToolResult result = await RunAptGetAsync(arguments, folder, percent, cancellation).ConfigureAwait(false);
        if (result.ExitCode != 0)
            throw new GuestFetchException($"apt-get download failed ({Complaint(result) ?? $"exit code {result.ExitCode}"})", CheckSources);
        return [.. packages.Select(p => FindDownloaded(p, folder))];
    }

    private static string FindDownloaded(AptPackage package, string folder) =>
        Directory.EnumerateFiles(folder, $"{package.Name}_*.deb").Order(StringComparer.Ordinal).FirstOrDefault()
        ?? throw new GuestFetchException($"apt-get download left no {package.Name} package", CheckSources);

    private Task<ToolResult> RunAptGetAsync(IReadOnlyList<string> arguments, string folder, Action<double> percent, CancellationToken cancellation) =>
        ToolProcess.RunAsync(options.AptGet, ["-c", Configuration, "-q", .. arguments], folder, line =>
        {
            Match match = DownloadStatus().Match(line);
            if (match.Success)
                percent(double.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));
            return match.Success;
        }, cancellation);

    /// <summary>The first error, else the first warning about a failed download.</summary>
    private static string? Complaint(ToolResult result)
    {
        string[] lines = [.. result.Errors.Concat(result.Output)];
        return lines.FirstOrDefault(l => l.StartsWith("E: ", StringComparison.Ordinal))?[3..]
            ?? lines.FirstOrDefault(l => l.StartsWith("W: Failed to fetch", StringComparison.Ordinal))?[3..]
            ?? (result.ExitCode == 0 ? null : $"exit code {result.ExitCode}");
    }

    /// <summary>
    /// Read after the system's own configuration, whose proxies and timeouts stay; its hooks and the indexes of other tools
    /// (they would run, or be downloaded, at every update) do not.
    /// </summary>
    private void WriteConfiguration()
    {
        string state = Path.Combine(options.Directory, "state");
        string cache = Path.Combine(options.Directory, "cache");
        Directory.CreateDirectory(Path.Combine(state, "lists", "partial"));
        Directory.CreateDirectory(Path.Combine(cache, "archives", "partial"));
        StringBuilder text = new();
        text.AppendLine("#clear APT::Update::Pre-Invoke;");
        text.AppendLine("#clear APT::Update::Post-Invoke;");
        text.AppendLine("#clear APT::Update::Post-Invoke-Success;");
        text.AppendLine("#clear APT::Architectures;");
        foreach (string index in (string[])["DEP-11", "DEP-11-icons", "DEP-11-icons-small", "DEP-11-icons-large", "DEP-11-icons-hidpi", "DEP-11-icons-large-hidpi", "CNF", "Contents-deb"])
            text.AppendLine(CultureInfo.InvariantCulture, $"#clear Acquire::IndexTargets::deb::{index};");
        Set("Dir::State", state);
        Set("Dir::State::status", Path.Combine(state, "status"));
        Set("Dir::State::extended_states", Path.Combine(state, "extended_states"));
        Set("Dir::Cache", cache);
        if (options.SourcesList is { } sources)
        {
            Set("Dir::Etc::sourcelist", sources);
            Set("Dir::Etc::sourceparts", "/dev/null");
        }

        Set("APT::Architecture", "amd64");
        Set("APT::Architectures::", "amd64");
        // Root's downloads go to a folder that the user _apt cannot enter; signatures are checked all the same.
        Set("APT::Sandbox::User", Environment.UserName);
        Set("APT::Status-Fd", "1");
        Set("Acquire::Languages", "none");
        Set("Acquire::Retries", "2");
        Set("Acquire::http::Timeout", "30");
        Set("Acquire::https::Timeout", "30");
        // Nothing is installed, so what the system has installed is of no account.
        File.WriteAllText(Path.Combine(state, "status"), "");
        File.WriteAllText(Configuration, text.ToString());

        void Set(string key, string value)
        {
            if (value.AsSpan().ContainsAny("\"\n;"))
                throw new GuestFetchException($"the path {value} holds a character that apt's configuration cannot", "choose another folder with --dir");
            text.AppendLine(CultureInfo.InvariantCulture, $"{key} \"{value}\";");
        }
    }

    [GeneratedRegex(@"^([A-Za-z0-9-]+): (.*)$")]
    private static partial Regex Field();

    [GeneratedRegex(@"^dlstatus:\d+:(\d+(?:\.\d+)?):")]
    private static partial Regex DownloadStatus();
}
