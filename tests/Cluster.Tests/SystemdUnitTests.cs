using Godwit.Client;
using Godwit.Cluster.Tests.Processes;
using Godwit.Silo.Hosting;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>A fact about systemd units, skipped where there is no systemd-analyze.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SystemdFactAttribute : FactAttribute
{
    public const string Tool = "/usr/bin/systemd-analyze";

    public SystemdFactAttribute()
    {
        if (!File.Exists(Tool))
        {
            Skip = $"{Tool} is not here (Debian's package systemd)";
        }
    }
}

/// <summary>The units in deploy/systemd, with this build's executable and a folder of the test's in place of theirs.</summary>
public sealed class SystemdUnitTests : IAsyncLifetime
{
    private const string Store = "godwit-store.service";
    private const string Silo = "godwit-silo@.service";
    private const string SiloOne = "godwit-silo@one.service";

    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly int _port = FreePort.Find();

    public async Task InitializeAsync()
    {
        Directory.CreateDirectory(_folder);
        foreach (var unit in new[] { Store, Silo })
        {
            var text = await File.ReadAllTextAsync(Path.Combine(Repository(), "deploy", "systemd", unit));
            await File.WriteAllTextAsync(
                Path.Combine(_folder, unit),
                text.Replace("/opt/godwit/Godwit.Silo", TestProcess.Executable).Replace("/var/lib/godwit", Path.Combine(_folder, "cluster")).Replace("6390", _port.ToString()));
        }
    }

    [SystemdFact]
    public async Task SystemdUnderstandsEveryLine()
    {
        var (exitCode, output, errors) = await TestProcess.RunAsync(SystemdFactAttribute.Tool, "verify", "--man=no", Path.Combine(_folder, Store), Path.Combine(_folder, SiloOne));

        // An unknown setting is a complaint only, and this machine's own units may draw some too.
        Assert.DoesNotContain("godwit", output + errors, StringComparison.Ordinal);
        Assert.Equal(0, exitCode);
    }

    [SystemdFact]
    public async Task TheSandboxLeavesLittleExposed()
    {
        foreach (var unit in new[] { Store, Silo })
        {
            // systemd's own measure, times ten: below 20 is what it calls OK; without a sandbox it is above 90.
            var (exitCode, output, errors) = await TestProcess.RunAsync(SystemdFactAttribute.Tool, "security", "--offline=true", "--no-pager", "--threshold=20", Path.Combine(_folder, unit));
            Assert.True(exitCode == 0, output + errors);
        }
    }

    [Fact]
    public async Task TheirCommandsAreAStoreAndASiloOfIt()
    {
        await using var store = await TestProcess.StartAsync(Command(Store));
        await using var silo = await TestProcess.StartAsync(Command(Silo));
        await using var client = await GodwitClient.ConnectAsync(Godwit.Access.ClusterAccess.Open(Path.Combine(_folder, "cluster")));

        await Eventually.HoldsAsync("silo \"one\" is active with 1 GiB", async () =>
            (await client.SilosAsync()).Any(s => s.Name == "one" && s.Host?.MemoryCapacity == 1L << 30));
        silo.Signal("-TERM");
        await silo.WaitForExitAsync();
        Assert.Equal(0, silo.ExitCode);
    }

    public Task DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return Task.CompletedTask;
    }

    /// <summary>The words after the executable, with the unit's environment and its instance "one" in their places, and --json.</summary>
    private string[] Command(string unit)
    {
        var lines = File.ReadAllLines(Path.Combine(_folder, unit));
        var words = lines.Single(l => l.StartsWith("ExecStart=", StringComparison.Ordinal)).Split(' ')[1..];
        var environment = lines.Where(l => l.StartsWith("Environment=", StringComparison.Ordinal))
            .SelectMany(l => l["Environment=".Length..].Split(' '))
            .Select(e => e.Split('=', 2))
            .ToDictionary(e => $"${{{e[0]}}}", e => e[1]);
        return [.. words.Select(w => environment.GetValueOrDefault(w, w).Replace("%i", "one")), "--json"];
    }

    private static string Repository()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Cluster.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("Cluster.sln is in no folder above the tests.");
        }

        return folder;
    }
}
