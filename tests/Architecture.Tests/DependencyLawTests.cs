using System.Xml.Linq;
using Xunit;

namespace Godwit.Architecture.Tests;

/// <summary>The arrows of ARCHITECTURE.md, as the project files draw them.</summary>
public sealed class DependencyLawTests
{
    private sealed record Allowed(string[] Projects, string[] Packages);

    /// <summary>What each product project may reference. A new project, or a new arrow, is a decision: it is made here.</summary>
    private static readonly Dictionary<string, Allowed> Law = new(StringComparer.Ordinal)
    {
        ["Engine"] = new([], ["Iced", "MessagePack", "System.IO.Hashing", "ZstdSharp.Port", "K4os.Compression.LZ4"]),
        ["Grains.Interfaces"] = new([], ["Microsoft.Orleans.Sdk"]),
        ["Access"] = new(["Grains.Interfaces"], ["Microsoft.Orleans.Sdk", "StackExchange.Redis"]),
        ["Grains"] = new(["Grains.Interfaces", "Engine"], ["Microsoft.Orleans.Sdk", "Microsoft.Orleans.Server"]),
        ["Silo"] = new(
            ["Access", "Grains", "Grains.Interfaces", "Engine"],
            [
                "Microsoft.Orleans.Server", "Microsoft.Orleans.Clustering.Redis", "Microsoft.Orleans.Persistence.Redis", "Microsoft.Orleans.Reminders.Redis", "Microsoft.Orleans.Dashboard",
                "StackExchange.Redis", "Microsoft.Garnet", "System.CommandLine",
                "OpenTelemetry.Extensions.Hosting", "OpenTelemetry.Exporter.OpenTelemetryProtocol", "OpenTelemetry.Exporter.Prometheus.AspNetCore",
            ]),
        ["Sdk"] = new(["Access", "Grains.Interfaces"], ["Microsoft.Orleans.Client", "Microsoft.Orleans.Clustering.Redis", "StackExchange.Redis"]),
        ["Cli"] = new(["Sdk", "Engine"], ["System.CommandLine", "Spectre.Console"]),
    };

    /// <summary>Projects that may use the web framework: the silo, which has the data plane and the web page.</summary>
    private static readonly string[] Web = ["Silo"];

    public static TheoryData<string> Projects => [.. Repository.Projects.Keys];

    [Theory]
    [MemberData(nameof(Projects))]
    public void ProjectReferencesOnlyWhatTheLawAllows(string project)
    {
        if (IsTest(project))
            return;
        Assert.True(Law.TryGetValue(project, out Allowed? allowed), $"{project} is not in the dependency law: add it to the table with what it may reference");

        string[] projects = [.. References(project, "ProjectReference").Select(path => Path.GetFileNameWithoutExtension(path.Replace('\\', '/'))).Except(allowed.Projects)];
        string[] packages = [.. References(project, "PackageReference").Except(allowed.Packages)];
        Assert.True(projects.Length == 0, $"{project} must not reference {string.Join(", ", projects)}");
        Assert.True(packages.Length == 0, $"{project} must not use {string.Join(", ", packages)}");
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void OnlyTheSiloUsesTheWebFramework(string project)
    {
        if (!IsTest(project) && !Web.Contains(project))
            Assert.Empty(References(project, "FrameworkReference"));
    }

    [Fact]
    public void EveryProjectOfTheLawExistsAndIsInTheSolution()
    {
        string solution = Repository.Read("Cluster.sln");
        Assert.Empty(Law.Keys.Except(Repository.Projects.Keys));
        Assert.All(Repository.Files.Where(f => f.EndsWith(".csproj", StringComparison.Ordinal)), f => Assert.Contains(f.Replace('/', '\\'), solution, StringComparison.Ordinal));
    }

    [Fact]
    public void PackageVersionsAreCentralAndLocked()
    {
        foreach ((string name, XDocument project) in Repository.Projects)
        {
            Assert.DoesNotContain(project.Descendants("PackageReference"), e => e.Attribute("Version") is not null);
            string file = Repository.Files.Single(f => f.EndsWith($"/{name}.csproj", StringComparison.Ordinal));
            Assert.Contains($"{Path.GetDirectoryName(file)}/packages.lock.json".Replace('\\', '/'), Repository.Files);
        }
    }

    [Fact]
    public void UnsafeCodeIsEnabledOnlyForEngineAndItsTests()
    {
        string[] enabled = [.. Repository.Projects.Where(p => p.Value.Descendants("AllowUnsafeBlocks").Any(e => e.Value == "true")).Select(p => p.Key)];
        Assert.Empty(enabled.Except(["Engine", "Engine.Tests", "Engine.Benchmarks"]));
    }

    private static bool IsTest(string project) =>
        project.EndsWith(".Tests", StringComparison.Ordinal) || project.EndsWith(".Benchmarks", StringComparison.Ordinal);

    private static IEnumerable<string> References(string project, string kind) =>
        Repository.Projects[project].Descendants(kind).Select(e => (string?)e.Attribute("Include")).OfType<string>();
}
