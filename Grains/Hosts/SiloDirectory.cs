using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;
using Orleans.Runtime;

namespace Godwit.Grains.Hosts;

/// <summary>The cluster's silos by name and address, and their hosts' own figures.</summary>
public sealed class SiloDirectory
{
    private static readonly TimeSpan _answerLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan _placementLimit = TimeSpan.FromSeconds(8);

    private readonly IClusterMembershipService _membership;
    private readonly IGrainFactory _grains;

    public SiloDirectory(IClusterMembershipService membership, IGrainFactory grains)
    {
        _membership = membership;
        _grains = grains;
    }

    /// <summary>Whether membership holds this silo (an address with its generation) to be alive.</summary>
    public bool IsAlive(string? address) =>
        address is not null && _membership.CurrentSnapshot.Members.Values.Any(m => m.Status == SiloStatus.Active && m.SiloAddress.ToParsableString() == address);

    /// <summary>A live silo by name or address; throws <see cref="ClusterException"/> where there is none or more than one.</summary>
    public SiloRef Require(string nameOrAddress)
    {
        var live = Live();
        var found = live.Where(s => s.Name == nameOrAddress || s.Address == nameOrAddress).ToList();
        return found.Count switch
        {
            1 => found[0],
            0 => throw new ClusterException(ClusterError.NotFound, $"There is no live silo \"{nameOrAddress}\" (live: {string.Join(", ", live.Select(s => s.Name))})."),
            _ => throw new ClusterException(ClusterError.Invalid, $"{found.Count} silos are named \"{nameOrAddress}\"; give the address: {string.Join(", ", found.Select(s => s.Address))}."),
        };
    }

    /// <summary>A live silo by name or address that takes VMs; throws <see cref="ClusterException"/> where it does not.</summary>
    public async Task<SiloRef> RequireServingAsync(string nameOrAddress)
    {
        var silo = Require(nameOrAddress);
        return await AskAsync(silo.Address) is { Duty: not HostDuty.Serving } host ? throw NotServing(host.Name, host.Duty) : silo;
    }

    /// <summary>A draining silo's refusal.</summary>
    public static ClusterException NotServing(string name, HostDuty duty) =>
        new(ClusterError.Unavailable, $"Silo {name} is {Word(duty)} and takes no VMs (\"godwit silo undrain {name}\" takes it back).");

    /// <summary>Those of the hosts that take VMs; throws <see cref="ClusterException"/> where all are drained.</summary>
    public static IReadOnlyList<HostInfo> Serving(IReadOnlyList<HostInfo> hosts)
    {
        List<HostInfo> serving = [.. hosts.Where(h => h.Duty == HostDuty.Serving)];
        return serving.Count > 0 || hosts.Count == 0
            ? serving
            : throw new ClusterException(ClusterError.NoRoom, $"No silo takes VMs: {Skipped(hosts)}.");
    }

    /// <summary>Active silos, by name.</summary>
    public IReadOnlyList<SiloRef> Live() =>
        [.. _membership.CurrentSnapshot.Members.Values
            .Where(m => m.Status == SiloStatus.Active)
            .Select(m => new SiloRef(m.Name, m.SiloAddress.ToParsableString()))
            .OrderBy(s => s.Name, StringComparer.Ordinal)
            .ThenBy(s => s.Address, StringComparer.Ordinal)];

    /// <summary>All silos that membership knows, with what the live ones say of themselves.</summary>
    public async Task<IReadOnlyList<SiloInfo>> DescribeAsync(bool all)
    {
        var members = _membership.CurrentSnapshot.Members.Values
            .Where(m => all || m.Status is SiloStatus.Active or SiloStatus.Joining or SiloStatus.ShuttingDown)
            .OrderBy(m => m.Name, StringComparer.Ordinal);
        return await Task.WhenAll(members.Select(async m =>
        {
            var address = m.SiloAddress.ToParsableString();
            return new SiloInfo
            {
                Name = m.Name,
                Address = address,
                Status = m.Status.ToString(),
                Host = m.Status == SiloStatus.Active ? await AskAsync(address) : null,
            };
        }));
    }

    /// <summary>What a VM is whose silo is gone: lost, or about to be brought up elsewhere.</summary>
    public static VmState Lost(VmDefinition definition) =>
        (definition.Restart ?? RestartPolicy.None).Mode == RestartMode.None ? VmState.Lost : VmState.Recovering;

    /// <summary>Figures of the live hosts that answer in time; one that is known to be gone need not be waited for.</summary>
    public Task<IReadOnlyList<HostInfo>> HostsAsync(string? except = null) => HostsAsync(Live().Select(s => s.Address).Where(a => a != except));

    /// <summary>Figures of those of these hosts that answer in time.</summary>
    public async Task<IReadOnlyList<HostInfo>> HostsAsync(IEnumerable<string> addresses)
    {
        var answers = await Task.WhenAll(addresses.Select(AskAsync));
        return [.. answers.OfType<HostInfo>()];
    }

    /// <summary>
    /// The live silo that placement chooses for a VM; throws <see cref="ClusterException"/> with what each is short of where none can take it.
    /// <see cref="SettleAsync"/> follows once the VM is there, or has been refused.
    /// </summary>
    public async Task<SiloRef> ChooseAsync(string vm, VmDefinition definition, double load, string? except)
    {
        try
        {
            var choice = await _grains.GetGrain<IPlacementGrain>(0)
                .Choose(new PlacementRequest { Vm = vm, Definition = definition, Load = load, Except = except })
                .WaitAsync(_placementLimit);
            return new SiloRef(choice.Silo, choice.Address);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException)
        {
            // Its silo has just died: what is chosen here may crowd a silo, and no more than that.
            return Choose(VmDemand.Of(vm, definition, load), await HostsAsync(), except, []);
        }
    }

    /// <summary>A choice has been carried out or given up. Nobody waits for it, nor for one that is lost.</summary>
    public Task SettleAsync(string vm) => _grains.GetGrain<IPlacementGrain>(0).Settle(vm);

    /// <summary>
    /// Where a VM is to be brought up whose silo is lost: chosen here, since who chooses for the cluster may have been lost
    /// with it. Throws <see cref="ClusterException"/> where no silo can take it.
    /// </summary>
    /// <param name="checkpoints">The checkpoint store that it must see; null: any or none.</param>
    /// <param name="sent">VMs that the caller has just sent elsewhere.</param>
    public async Task<SiloRef> ChooseForRecoveryAsync(VmDemand vm, string? lost, string? checkpoints, IReadOnlyList<(VmDemand Vm, string Address)> sent)
    {
        var hosts = await HostsAsync(lost);
        List<HostInfo> seeing = [.. hosts.Where(h => checkpoints is null || h.Checkpoints == checkpoints)];
        if (hosts.Count > 0 && seeing.Count == 0)
        {
            throw new ClusterException(ClusterError.NoRoom, $"No live silo sees the folder that holds the checkpoint of VM \"{vm.Name}\" (store {checkpoints}).");
        }

        return Choose(vm, seeing, lost, sent.Where(s => !seeing.Any(h => h.Address == s.Address && h.Reserved.Contains(s.Vm.Name))));
    }

    /// <summary>Of these silos the one that the policy chooses, with VMs counted that have been sent to them and do not show there yet.</summary>
    public static SiloRef Choose(VmDemand vm, IReadOnlyList<HostInfo> hosts, string? except, IEnumerable<(VmDemand Vm, string Address)> sent)
    {
        List<HostInfo> others = [.. hosts.Where(h => h.Address != except)];
        if (others.Count == 0)
        {
            throw new ClusterException(ClusterError.NoRoom, except is null ? "No live silo answers." : "There is no other live silo to move to.");
        }

        _ = Serving(others);
        var rooms = others.Select(h => sent.Where(s => s.Address == h.Address).Aggregate(SiloRoom.Of(h), (room, s) => room.With(s.Vm)));
        var chosen = PlacementPolicy.Choose(vm, [.. rooms]);
        return new SiloRef(chosen.Name, chosen.Address);
    }

    private static string Skipped(IReadOnlyList<HostInfo> hosts) =>
        string.Join(", ", hosts.Where(h => h.Duty != HostDuty.Serving).Select(h => $"{h.Name} is {Word(h.Duty)}"));

    private static string Word(HostDuty duty) => duty == HostDuty.Drained ? "drained" : "draining";

    private async Task<HostInfo?> AskAsync(string address)
    {
        try
        {
            return await _grains.GetGrain<IHostGrain>(address).GetInfo().WaitAsync(_answerLimit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException or ClusterException)
        {
            return null;
        }
    }
}

/// <summary>A silo by name and address.</summary>
public sealed record SiloRef(string Name, string Address);
