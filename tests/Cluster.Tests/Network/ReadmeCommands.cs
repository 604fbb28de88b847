using Godwit.Cluster.Tests.Deployment;

namespace Godwit.Cluster.Tests.Network;

/// <summary>README's lines on how silos on three machines become a cluster, word for word.</summary>
internal static class ReadmeCommands
{
    private const string Begin = "<!-- three machines -->";
    private const string End = "<!-- end -->";

    /// <summary>Without what follows "#".</summary>
    public static IReadOnlyList<string> Read()
    {
        var text = DeploymentFiles.Read("README.md");
        var from = text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        return [.. text[from..text.IndexOf(End, from, StringComparison.Ordinal)].Split('\n').Where(l => l.StartsWith("    ", StringComparison.Ordinal)).Select(l => l.Split(" # ")[0].Trim())];
    }
}
