using Godwit.Client;
using Xunit;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>A store and two silos "a" and "b" as the real executable runs them, with 256 MiB each for guests.</summary>
public sealed class RealSilos : IAsyncLifetime
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly List<TestProcess> _processes = [];

    public GodwitClient Client { get; private set; } = null!;

    private static string Executable => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Silo", Path.GetFileName(Path.TrimEndingDirectorySeparator(AppContext.BaseDirectory)), "Godwit.Silo"));

    public async Task InitializeAsync()
    {
        _processes.Add(await TestProcess.StartAsync(Executable, ["store", "--cluster", _folder, "--json"]));
        _processes.AddRange(await Task.WhenAll(new[] { "a", "b" }.Select(name =>
            TestProcess.StartAsync(Executable, ["silo", "--cluster", _folder, "--name", name, "--memory", "256M", "--json"]))));
        Client = await GodwitClient.ConnectAsync(_processes[0].Ready.GetProperty("address").GetString()!);
        await Eventually.HoldsAsync("two silos are active", async () => (await Client.SilosAsync()).Count(s => s.Host is not null) == 2);
    }

    public async Task DisposeAsync()
    {
        if (Client is not null)
        {
            await Client.DisposeAsync();
        }

        foreach (var process in Enumerable.Reverse(_processes))
        {
            await process.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }
}
