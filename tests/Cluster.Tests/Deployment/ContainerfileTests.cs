using System.Text.Json;
using System.Xml.Linq;
using Xunit;

namespace Godwit.Cluster.Tests.Deployment;

/// <summary>deploy/container/Containerfile by its instructions: what it copies is there, and is what its projects are made of.</summary>
public sealed class ContainerfileTests
{
    private readonly List<(string Name, string Words)> _instructions = [.. Instructions(DeploymentFiles.Read("deploy", "container", "Containerfile"))];

    [Fact]
    public void InstructionsAreKnownAndStagesAreUsed()
    {
        string[] known = ["FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"];
        Assert.Empty(_instructions.Select(i => i.Name).Except(known));
        Assert.Equal("FROM", _instructions[0].Name);
        var stages = _instructions.Where(i => i.Name == "FROM").Select(i => i.Words.Split(' ')).ToList();
        Assert.All(stages, s => Assert.Contains(":10.0", s[0], StringComparison.Ordinal));
        var named = stages.Where(s => s.Length == 3 && s[1] == "AS").Select(s => s[2]).ToList();
        var used = Copies().Where(c => c[0].StartsWith("--from=", StringComparison.Ordinal)).Select(c => c[0]["--from=".Length..]).ToList();

        Assert.NotEmpty(named);
        Assert.Equal(named, used.Distinct());
    }

    [Fact]
    public void WhatItCopiesIsThereAndIsNotIgnored()
    {
        var ignore = File.ReadAllLines(DeploymentFiles.Path(".dockerignore"));
        Assert.Equal("**", ignore[0]);
        foreach (var source in Sources())
        {
            Assert.True(source.EndsWith('/') ? Directory.Exists(DeploymentFiles.Path(source)) : File.Exists(DeploymentFiles.Path(source)), source);
            Assert.Contains($"!{source.TrimEnd('/')}", ignore);
        }
    }

    [Fact]
    public void ItPublishesProjectsWhoseEveryReferenceIsCopied()
    {
        var published = _instructions.Single(i => i.Name == "RUN" && i.Words.Contains("dotnet publish", StringComparison.Ordinal)).Words
            .Split("dotnet publish ").Skip(1).Select(p => p.Split(' ')[0]).ToList();
        Assert.Equal(["Silo", "Client/Cli"], published);
        var open = new Queue<string>(published.Select(p => Assert.Single(Directory.GetFiles(DeploymentFiles.Path(p), "*.csproj"))));
        var seen = new HashSet<string>();
        while (open.TryDequeue(out var project))
        {
            if (!seen.Add(project))
            {
                continue;
            }

            var relative = Path.GetRelativePath(DeploymentFiles.Repository, project);
            Assert.Contains(Sources(), s => relative.StartsWith(s, StringComparison.Ordinal));
            foreach (var reference in XDocument.Load(project).Descendants("ProjectReference"))
            {
                open.Enqueue(Path.GetFullPath(Path.Combine(Path.GetDirectoryName(project)!, (string)reference.Attribute("Include")!)));
            }
        }

        Assert.Empty(Directory.GetFiles(DeploymentFiles.Repository, "Directory.*.props").Select(Path.GetFileName).Append(".editorconfig").Except(Sources()));
    }

    [Fact]
    public void ItRunsASiloAsNobodyInParticularAndAsksItsHealth()
    {
        var last = _instructions.Skip(_instructions.FindLastIndex(i => i.Name == "FROM")).ToLookup(i => i.Name, i => i.Words);
        Assert.Matches("^[1-9][0-9]*:[1-9][0-9]*$", Assert.Single(last["USER"]));
        Assert.Equal([DeploymentFiles.SiloExecutable], JsonSerializer.Deserialize<string[]>(Assert.Single(last["ENTRYPOINT"]))!);
        Assert.Equal("silo", DeploymentFiles.Parse(JsonSerializer.Deserialize<string[]>(Assert.Single(last["CMD"]))!).CommandResult.Command.Name);
        var probe = Assert.Single(last["HEALTHCHECK"]).Split("CMD ")[1].Replace("\"$GODWIT_ADDRESS\"", "127.0.0.1", StringComparison.Ordinal).Split(' ');
        Assert.Equal(["exec", DeploymentFiles.SiloExecutable], probe.Take(2));
        Assert.Equal("health", DeploymentFiles.Parse(probe.Skip(2)).CommandResult.Command.Name);
    }

    /// <summary>Without comments, continued lines joined.</summary>
    private static IEnumerable<(string Name, string Words)> Instructions(string text) =>
        string.Join('\n', text.Split('\n').Where(l => !l.StartsWith('#')))
            .Replace("\\\n", " ", StringComparison.Ordinal)
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(l => l.Split(' ', 2))
            .Select(l => (l[0], l[1]));

    private IEnumerable<string[]> Copies() => _instructions.Where(i => i.Name == "COPY").Select(i => i.Words.Split(' '));

    private IEnumerable<string> Sources() => Copies().Where(c => !c[0].StartsWith("--", StringComparison.Ordinal)).SelectMany(c => c[..^1]);
}
