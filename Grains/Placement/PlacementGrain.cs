using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces.Hosts;

namespace Godwit.Grains.Placement;

/// <summary>
/// One call at a time: looks at the silos, counts what it has sent to each and they do not show yet, and chooses. It keeps
/// nothing else, so that a new activation goes on; the silos' ledgers decide in the end.
/// </summary>
public sealed class PlacementGrain : Grain, IPlacementGrain
{
    /// <summary>Longer than it takes from a choice to the silo's reservation, unless something went wrong on the way.</summary>
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(5);

    /// <summary>A silo that did not answer is not waited for again this long: those who choose next would all wait.</summary>
    private static readonly TimeSpan _silence = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, (VmDemand Vm, string Address, long Since)> _sent = [];
    private readonly Dictionary<string, long> _silent = [];
    private readonly SiloDirectory _silos;
    private readonly TimeProvider _time;

    public PlacementGrain(SiloDirectory silos, TimeProvider time)
    {
        _silos = silos;
        _time = time;
    }

    public async Task<PlacementChoice> Choose(PlacementRequest request)
    {
        var hosts = await AnsweringAsync();
        var reserved = hosts.SelectMany(h => h.Reserved.Select(vm => (h.Address, vm))).ToHashSet();
        foreach (var (name, sent) in _sent.ToList())
        {
            if (name == request.Vm || reserved.Contains((sent.Address, name)) || _time.GetElapsedTime(sent.Since) > _patience)
            {
                _sent.Remove(name);
            }
        }

        var vm = VmDemand.Of(request.Vm, request.Definition, request.Load);
        var chosen = SiloDirectory.Choose(vm, hosts, request.Except, _sent.Values.Select(s => (s.Vm, s.Address)));
        _sent[request.Vm] = (vm, chosen.Address, _time.GetTimestamp());
        return new PlacementChoice { Silo = chosen.Name, Address = chosen.Address };
    }

    public Task Settle(string vm)
    {
        _sent.Remove(vm);
        return Task.CompletedTask;
    }

    private async Task<IReadOnlyList<HostInfo>> AnsweringAsync()
    {
        foreach (var (address, _) in _silent.Where(s => _time.GetElapsedTime(s.Value) > _silence).ToList())
        {
            _silent.Remove(address);
        }

        List<string> asked = [.. _silos.Live().Select(s => s.Address).Where(a => !_silent.ContainsKey(a))];
        var hosts = await _silos.HostsAsync(asked);
        foreach (var address in asked.Except(hosts.Select(h => h.Address)))
        {
            _silent[address] = _time.GetTimestamp();
        }

        return hosts;
    }
}
