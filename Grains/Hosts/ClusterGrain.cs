using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Grains.Rebalance;
using Orleans.Concurrency;

namespace Godwit.Grains.Hosts;

/// <summary>Answers about the whole cluster, from membership and the store.</summary>
[StatelessWorker, Reentrant]
public sealed class ClusterGrain : Grain, IClusterGrain
{
    private static readonly TimeSpan _probeLimit = TimeSpan.FromSeconds(3);

    private readonly SiloDirectory _silos;
    private readonly IOwnershipStore _store;

    public ClusterGrain(SiloDirectory silos, IOwnershipStore store)
    {
        _silos = silos;
        _store = store;
    }

    public Task<IReadOnlyList<SiloInfo>> GetSilos(bool all) => _silos.DescribeAsync(all);

    public async Task<IReadOnlyList<VmSummary>> GetVms()
    {
        var names = await StoreReads.OrRefuseAsync(_store.ListAsync);
        var paused = (await _silos.HostsAsync())
            .SelectMany(h => h.Vms.Where(v => v.Phase == "Paused").Select(v => (h.Address, v.Name)))
            .ToHashSet();
        var rows = await Task.WhenAll(names.Select(name => Summarize(name, paused)));
        return [.. rows.OfType<VmSummary>()];
    }

    public Task<DrainTicket> Drain(string silo, DrainRequest request) => HostOf(silo).Drain(request);

    public Task Undrain(string silo) => HostOf(silo).Undrain();

    public async Task<ClusterStatus> GetStatus()
    {
        var silos = await _silos.DescribeAsync(all: false);
        List<HostInfo> hosts = [.. silos.Select(s => s.Host).OfType<HostInfo>()];
        var store = await Task.WhenAll(hosts.Select(h => ProbeAsync(h.Address)));
        return new ClusterStatus
        {
            Silos = silos,
            Store = [.. store.OfType<StoreHealth>()],
            Spread = ClusterView.Of(hosts).Spread,
            Migrations = [.. hosts.SelectMany(h => h.Migrations)],
        };
    }

    /// <summary>Null where the silo does not answer; one of protocol 1 knows no such question.</summary>
    private async Task<StoreHealth?> ProbeAsync(string address)
    {
        try
        {
            return await GrainFactory.GetGrain<IHostGrain>(address).ProbeStore().WaitAsync(_probeLimit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException or ClusterException)
        {
            return null;
        }
    }

    private IHostGrain HostOf(string silo) => GrainFactory.GetGrain<IHostGrain>(_silos.Require(silo).Address);

    private async Task<VmSummary?> Summarize(string name, HashSet<(string Address, string Name)> paused)
    {
        var record = await _store.ReadAsync(name, CancellationToken.None);
        var definition = await _store.ReadDefinitionAsync(name, CancellationToken.None);
        if (record is null || definition is null)
        {
            return null;
        }

        return new VmSummary
        {
            Name = name,
            State = record.State switch
            {
                OwnershipState.Stopped => VmState.Stopped,
                OwnershipState.Moving when _silos.IsAlive(record.Owner) || _silos.IsAlive(record.Target) => VmState.Migrating,
                _ when !_silos.IsAlive(record.Owner) => SiloDirectory.Lost(definition),
                _ => paused.Contains((record.Owner!, name)) ? VmState.Paused : VmState.Running,
            },
            Silo = record.OwnerName,
            MemoryBytes = definition.MemoryBytes,
            Epoch = record.Epoch,
        };
    }
}
