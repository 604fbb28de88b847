namespace Godwit.Cli.Guest;

/// <summary>Where apt works and what it reads; all but the first is for tests and unusual systems.</summary>
internal sealed record AptOptions
{
    /// <summary>A private folder for package lists and apt's caches, so that neither root nor the system's apt is touched.</summary>
    public required string Directory { get; init; }

    /// <summary>A sources.list in place of the system's; null for the system's.</summary>
    public string? SourcesList { get; init; }

    public string AptGet { get; init; } = "apt-get";

    public string AptCache { get; init; } = "apt-cache";

    public string DpkgDeb { get; init; } = "dpkg-deb";
}
