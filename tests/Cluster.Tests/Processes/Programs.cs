namespace Godwit.Cluster.Tests.Processes;

/// <summary>Programs that Debian's packages bring.</summary>
internal static class Programs
{
    /// <summary>Its path; null where it is not installed. Debian keeps some where only root's PATH leads.</summary>
    public static string? Find(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "")
            .Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Concat(["/usr/sbin", "/sbin"])
            .Select(folder => Path.Combine(folder, name))
            .FirstOrDefault(File.Exists);
}
