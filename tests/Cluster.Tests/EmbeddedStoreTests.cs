using Godwit.Access;
using Godwit.Cluster.Tests.Processes;
using Godwit.Grains.Interfaces;
using Xunit;

namespace Godwit.Cluster.Tests;

/// <summary>The embedded store as a process that silos start when there is none.</summary>
public sealed class EmbeddedStoreTests : IAsyncLifetime
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");
    private readonly List<TestProcess> _processes = [];

    public Task InitializeAsync() => Task.CompletedTask;

    [Fact]
    public async Task ASiloWithoutAStoreStartsOneThatOutlivesIt()
    {
        var silos = await Task.WhenAll(
            StartAsync("silo", "--cluster", _folder, "--name", "a", "--json"),
            StartAsync("silo", "--cluster", _folder, "--name", "b", "--json"));
        var address = silos[0].Ready.GetProperty("store").GetString()!;
        Assert.Equal(address, silos[1].Ready.GetProperty("store").GetString());

        foreach (var silo in silos)
        {
            silo.Kill();
            await silo.WaitForExitAsync();
        }

        Assert.Null(await StoreLogin.Find(_folder, address)!.WhyNotAsync());
    }

    public async Task DisposeAsync()
    {
        foreach (var process in _processes)
        {
            await process.DisposeAsync();
        }

        // A store that a silo started belongs to nobody here: ended by the id that it left.
        if (LocalCluster.FindStore(_folder) is { } note && TryFind(note.Pid) is { } store)
        {
            store.Kill();
            await store.WaitForExitAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private static System.Diagnostics.Process? TryFind(int id)
    {
        try
        {
            return System.Diagnostics.Process.GetProcessById(id);
        }
        catch (ArgumentException)
        {
            return null;
        }
    }

    private async Task<TestProcess> StartAsync(params string[] arguments)
    {
        var process = await TestProcess.StartAsync(arguments);
        lock (_processes)
        {
            _processes.Add(process);
        }

        return process;
    }
}
