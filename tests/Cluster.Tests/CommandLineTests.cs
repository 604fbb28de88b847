using System.Text.Json;
using Godwit.Cluster.Tests.Processes;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>The executables as people run them: exit codes, one line of error, JSON.</summary>
[Collection(TwoSilosCollection.Name)]
public sealed class CommandLineTests(TwoSilos cluster) : OnTwoSilos(cluster)
{
    private static string Cli => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Cli", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Cli"));

    [Fact]
    public async Task AVmLivesItsLifeFromTheCommandLine()
    {
        var name = TwoSilos.NewName();
        Assert.Equal(name, (await JsonAsync("vm", "create", name, "--memory", "16M")).GetProperty("vm").GetString());
        Assert.Equal("a", (await JsonAsync("vm", "start", name, "--on", "a")).GetProperty("silo").GetString());
        var moved = await RunAsync("vm", "migrate", name, "--to", "b", "--json");
        Assert.Equal(0, moved.ExitCode);
        var lines = moved.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonDocument.Parse(l).RootElement).ToList();
        Assert.True(lines[^1].GetProperty("done").GetBoolean());
        Assert.Equal("b", lines[^1].GetProperty("result").GetProperty("targetName").GetString());
        Assert.Equal("b", (await JsonAsync("vm", "show", name)).GetProperty("silo").GetString());
        Assert.StartsWith("1\n2\n3\n", (await RunAsync("vm", "console", name, "--no-follow")).Output);
        await JsonAsync("vm", "stop", name);
        await JsonAsync("vm", "delete", name);
    }

    [Theory]
    [InlineData(1, "There is no VM \"nobody\"", "vm", "show", "nobody")]
    [InlineData(1, "does not exist", "vm", "create", "k", "--kernel", "/nonexistent/kernel")]
    [InlineData(1, "is not a kernel", "vm", "create", "k", "--kernel", "/etc/passwd")]
    [InlineData(1, "Memory of 0 bytes", "vm", "create", "k", "--memory", "0")]
    [InlineData(1, "no such file", "vm", "restore", "k", "/nonexistent/snapshot")]
    [InlineData(2, "not an amount of memory", "vm", "create", "k", "--memory", "lots")]
    [InlineData(2, "NAME", "vm", "create")]
    [InlineData(2, "\"strat\" is not understood", "vm", "strat", "x")]
    [InlineData(2, "Must be one of", "vm", "create", "k", "--clock", "sun")]
    public async Task AnErrorIsOneLineThatSaysWhatWasWrong(int code, string says, params string[] arguments)
    {
        var (exitCode, output, errors) = await RunAsync(arguments);

        Assert.Equal(code, exitCode);
        Assert.Contains(says, errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
        Assert.Equal("", output);
    }

    [Fact]
    public async Task WithoutAClusterTheErrorSaysHowToStartOne()
    {
        var folder = Path.Combine(Path.GetTempPath(), $"godwit-none-{Guid.NewGuid():N}");

        var (exitCode, _, errors) = await TestProcess.RunAsync(Cli, "vm", "list", "--cluster", folder);

        Assert.Equal(1, exitCode);
        Assert.Contains("godwit silo", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ASecondStoreInOneFolderIsRefused()
    {
        var (exitCode, _, errors) = await TestProcess.RunAsync(TestProcess.Executable, "store", "--cluster", Cluster.Folder);

        Assert.Equal(1, exitCode);
        Assert.Contains("A store runs already", errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "is not an amount of memory", "--memory", "none")]
    [InlineData(2, "is not a silo name", "--name", "a b")]
    [InlineData(2, "0 to 65535", "--data-port", "70000")]
    [InlineData(2, "--lease takes", "--lease", "0")]
    [InlineData(1, "No store answers", "--store", "127.0.0.1:1")]
    public async Task ASiloThatCannotStartSaysWhyInOneLine(int code, string says, params string[] arguments)
    {
        var (exitCode, _, errors) = await TestProcess.RunAsync(TestProcess.Executable, ["silo", "--cluster", Cluster.Folder, .. arguments]);

        Assert.Equal(code, exitCode);
        Assert.Contains(says, errors, StringComparison.Ordinal);
        Assert.Single(errors.Trim().Split('\n'));
    }

    private Task<(int ExitCode, string Output, string Errors)> RunAsync(params string[] arguments) =>
        TestProcess.RunAsync(Cli, [.. arguments, "--cluster", Cluster.Folder]);

    private async Task<JsonElement> JsonAsync(params string[] arguments)
    {
        var (exitCode, output, errors) = await RunAsync([.. arguments, "--json"]);
        Assert.True(exitCode == 0, errors);
        return JsonDocument.Parse(output).RootElement;
    }
}
