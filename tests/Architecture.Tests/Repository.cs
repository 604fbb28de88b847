using System.Xml.Linq;

namespace Godwit.Architecture.Tests;

/// <summary>The repository as files: what these tests are about.</summary>
internal static class Repository
{
    private static readonly string[] NotOurs = [".git", "artifacts", "TestResults", ".vs", ".idea", ".vscode", "bin", "obj"];

    private static readonly string[] TextFiles = [".cs", ".csproj", ".props", ".targets", ".sln", ".md", ".json", ".txt", ".sh", ".yml", ".yaml", ".editorconfig", ".gitignore", ".service", ".svg", ".asl", ""];

    /// <summary>The folder that holds Cluster.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Every file, relative to the root, with forward slashes.</summary>
    public static IReadOnlyList<string> Files { get; } = [.. Walk("")];

    /// <summary>C# sources.</summary>
    public static IEnumerable<string> Sources => Files.Where(f => f.EndsWith(".cs", StringComparison.Ordinal));

    /// <summary>Files that hold text.</summary>
    public static IEnumerable<string> Texts => Files.Where(f => TextFiles.Contains(Path.GetExtension(f)));

    /// <summary>Project files, by project name.</summary>
    public static IReadOnlyDictionary<string, XDocument> Projects { get; } =
        Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal)).ToDictionary(f => Path.GetFileNameWithoutExtension(f), f => XDocument.Parse(Read(f)), StringComparer.Ordinal);

    /// <summary>A file's text.</summary>
    public static string Read(string file) => File.ReadAllText(Path.Combine(Root, file));

    /// <summary>The project file nearest above a source, relative to the root; null where there is none.</summary>
    public static string? ProjectOf(string source)
    {
        for (string? folder = Path.GetDirectoryName(source); folder is not null; folder = Path.GetDirectoryName(folder))
        {
            string? project = Files.FirstOrDefault(f => f.EndsWith(".csproj", StringComparison.Ordinal) && Path.GetDirectoryName(f) == folder);
            if (project is not null)
                return project;
        }

        return null;
    }

    private static IEnumerable<string> Walk(string folder)
    {
        foreach (string file in Directory.EnumerateFiles(Path.Combine(Root, folder)).Order(StringComparer.Ordinal))
            yield return Path.Combine(folder, Path.GetFileName(file)).Replace('\\', '/');
        foreach (string name in Directory.EnumerateDirectories(Path.Combine(Root, folder)).Select(d => Path.GetFileName(d)!).Where(n => !NotOurs.Contains(n)).Order(StringComparer.Ordinal))
        {
            foreach (string file in Walk(Path.Combine(folder, name)))
                yield return file;
        }
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Cluster.sln")))
                return folder.FullName;
        }

        throw new InvalidOperationException($"no Cluster.sln above {AppContext.BaseDirectory}");
    }
}
