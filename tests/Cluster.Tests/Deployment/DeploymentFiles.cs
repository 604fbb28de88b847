using System.CommandLine;
using Godwit.Silo.Commands;
using Xunit;

namespace Godwit.Cluster.Tests.Deployment;

/// <summary>The folder deploy/, and what is asked of a silo's command line wherever it stands there.</summary>
internal static class DeploymentFiles
{
    public const string SiloExecutable = "/opt/godwit/Godwit.Silo";

    public static string Repository { get; } = FindRepository();

    public static string Path(params string[] parts) => System.IO.Path.Combine([Repository, .. parts]);

    public static string Read(params string[] parts) => File.ReadAllText(Path(parts));

    /// <summary>What the silo executable itself makes of these words; fails where it would refuse one.</summary>
    public static ParseResult Parse(IEnumerable<string> words)
    {
        var root = new Command("godwit") { SiloCommand.Create((_, _, _) => throw new NotSupportedException("Nothing runs here."), "") };
        var parsed = root.Parse([.. words]);
        Assert.True(parsed.Errors.Count == 0, $"{string.Join(' ', words)}: {string.Join(' ', parsed.Errors.Select(e => e.Message))}");
        return parsed;
    }

    /// <summary>As given or by default; fails where the command has no such option.</summary>
    public static T? Option<T>(ParseResult parsed, string option) => parsed.GetValue<T>(option);

    private static string FindRepository()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(System.IO.Path.Combine(folder, "Cluster.sln")))
        {
            folder = System.IO.Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("Cluster.sln is in no folder above the tests.");
        }

        return folder;
    }
}
