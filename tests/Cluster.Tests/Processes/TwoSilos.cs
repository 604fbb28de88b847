using Godwit.Access;
using Godwit.Client;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Xunit;

namespace Godwit.Cluster.Tests.Processes;

/// <summary>
/// A store process, two silo processes "a" and "b", and a client; made once for a collection of tests. After each test it is
/// as it was before (<see cref="OnTwoSilos"/>), however the test ended.
/// </summary>
public class TwoSilos : IAsyncLifetime
{
    private static readonly string[] _names = ["a", "b"];

    private readonly List<TestProcess> _processes = [];
    private StoreServer? _store;
    private string _folder = NewFolder();

    public GodwitClient Client { get; private set; } = null!;

    public string Store { get; private set; } = "";

    public string Folder => _folder;

    /// <summary>For one more client.</summary>
    public ClusterAccess Access => ClusterAccess.Open(_folder, Store);

    /// <summary>Seconds. Nothing is to end here for a moment in which the host had other things to do.</summary>
    protected virtual string Lease => "5";

    /// <summary>Seconds after which a silo that is silent is dead.</summary>
    protected virtual string FailureDetection => "10";

    internal TestProcess Silo(string name) => _processes.First(p => !p.HasExited && NameOf(p) == name);

    internal string AddressOf(string name) => Silo(name).Ready.GetProperty("address").GetString()!;

    public async Task InitializeAsync()
    {
        _store = await StoreServer.StartAsync(_folder);
        Store = _store.Address;
        await Task.WhenAll(_names.Select(name => StartSiloAsync(name)));
        Client = await GodwitClient.ConnectAsync(Access);
        await OnlyTheTwoAsync();
    }

    /// <summary>
    /// Ends the silos and VMs that a test has left, and brings back what it took away. What cannot be put in order is an error of the
    /// test, and makes way for a new cluster: the tests after it have nothing to do with it.
    /// </summary>
    internal async Task RestoreAsync()
    {
        try
        {
            var changed = await EndExtraSilosAsync();
            if (changed || _names.Any(n => !Lives(n)))
            {
                await OnlyTheTwoAsync();
            }

            foreach (var vm in await Client.VmsAsync())
            {
                await Eventually.HoldsAsync($"VM {vm.Name} is gone", () => TryEndAsync(Client.Vm(vm.Name)));
            }

            await Eventually.HoldsAsync("both silos serve and hold nothing", NothingIsHeldAsync);
        }
        catch (Exception)
        {
            await DisposeAsync();
            _folder = NewFolder();
            await InitializeAsync();
            throw;
        }
    }

    /// <summary>One more silo, with 1 GiB for guests.</summary>
    internal async Task<TestProcess> StartSiloAsync(string name, string memory = "1G", params string[] more)
    {
        var silo = await TestProcess.StartAsync(["silo", "--cluster", _folder, "--name", name, "--memory", memory, "--lease", Lease, "--failure-detection", FailureDetection, "--json", .. more]);
        lock (_processes)
        {
            _processes.Add(silo);
        }

        return silo;
    }

    /// <summary>A fresh VM's name.</summary>
    public static string NewName() => $"vm-{Guid.NewGuid():N}"[..20];

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

        _processes.Clear();
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private static string NewFolder() => Path.Combine(Path.GetTempPath(), $"godwit-test-{Guid.NewGuid():N}");

    private static string NameOf(TestProcess silo) => silo.Ready.GetProperty("name").GetString()!;

    /// <summary>True once the VM is gone; what stands in the way (a migration, a lease that lasts) goes by itself.</summary>
    private static async Task<bool> TryEndAsync(Vm vm)
    {
        try
        {
            if ((await vm.ShowAsync()).State != VmState.Stopped)
            {
                await vm.StopAsync();
            }

            await vm.DeleteAsync();
            return true;
        }
        catch (GodwitException e)
        {
            return e.Error == ClusterError.NotFound;
        }
    }

    private bool Lives(string silo) => _processes.Exists(p => !p.HasExited && NameOf(p) == silo);

    /// <summary>False where there was none.</summary>
    private async Task<bool> EndExtraSilosAsync()
    {
        var extra = _processes.Where(p => p.HasExited || !_names.Contains(NameOf(p))).ToList();
        foreach (var silo in extra)
        {
            _processes.Remove(silo);
            await silo.DisposeAsync();
        }

        return extra.Count > 0;
    }

    /// <summary>Waits until the cluster knows of no other silo: one that is held to be alive would be asked, and chosen.</summary>
    private Task OnlyTheTwoAsync() =>
        Eventually.HoldsAsync("silos a and b are active, and no other is known", async () =>
        {
            // One that was held to be dead has ended; it comes back.
            foreach (var name in _names.Where(n => !Lives(n)).ToList())
            {
                await StartSiloAsync(name);
            }

            var silos = await SilosAsync();
            return silos.All(s => s.Host is not null) && silos.Select(s => s.Address).ToHashSet().SetEquals(_names.Select(AddressOf));
        });

    /// <summary>None while nobody can be asked.</summary>
    private async Task<IReadOnlyList<SiloInfo>> SilosAsync()
    {
        try
        {
            return await Client.SilosAsync();
        }
        catch (GodwitException)
        {
            return [];
        }
    }

    private async Task<bool> NothingIsHeldAsync()
    {
        var silos = await SilosAsync();
        foreach (var silo in silos.Where(s => s.Host is { Duty: not HostDuty.Serving }))
        {
            await Client.UndrainSiloAsync(silo.Name);
        }

        return silos.Count == _names.Length && silos.All(s => s.Host is { Duty: HostDuty.Serving, MemoryReserved: 0 });
    }
}
