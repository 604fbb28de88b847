using System.Collections.Concurrent;
using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Silo.Machines;

/// <summary>The machines of this silo by VM name, one command at a time for each, and what is remembered of those that left.</summary>
internal sealed class HostedVms
{
    private static readonly TimeSpan _arrivalLimit = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, HostedVm> _vms = new();
    private readonly ConcurrentDictionary<string, SemaphoreSlim> _gates = new();
    private readonly ConcurrentDictionary<string, RunLog> _logs = new();
    private readonly Func<string, MachineSpec, IMachine> _factory;
    private readonly SiloIdentity _silo;

    public HostedVms(Func<string, MachineSpec, IMachine> factory, SiloIdentity silo, CapacityLedger capacity)
    {
        _factory = factory;
        _silo = silo;
        Capacity = capacity;
    }

    public CapacityLedger Capacity { get; }

    public IEnumerable<HostedVm> All => _vms.Values;

    public HostedVm? Find(string vm) => _vms.GetValueOrDefault(vm);

    /// <summary>
    /// The machine that this silo serves; one that has just arrived is waited for. Throws <see cref="ClusterException"/>
    /// (Moved) where there is none.
    /// </summary>
    public async Task<HostedVm> RequireAsync(string vm) =>
        Find(vm) is { } hosted && (hosted.Serving || await hosted.WaitServedAsync(_arrivalLimit))
            ? hosted
            : throw new ClusterException(ClusterError.Moved, $"VM \"{vm}\" is not on silo {_silo.Name}.");

    /// <summary>A new, empty machine with memory set aside for it; not yet in the registry.</summary>
    public HostedVm Build(string vm, VmDefinition definition, CapacityReservation reserved) =>
        new(vm, definition, _factory(vm, EngineSpecs.ToSpec(definition)), reserved, LogOf(vm));

    /// <summary>False where there is one of that name already.</summary>
    public bool TryAdd(HostedVm vm) => _vms.TryAdd(vm.Name, vm);

    /// <summary>Lets go of the machine: its events end, its memory is released.</summary>
    public async Task DropAsync(HostedVm vm)
    {
        await vm.DisposeAsync();
        _vms.TryRemove(new KeyValuePair<string, HostedVm>(vm.Name, vm));
    }

    /// <summary>One command at a time for a VM; dispose to let the next one in.</summary>
    /// <param name="interrupt">Do not wait for a checkpoint that is being written.</param>
    public async Task<IDisposable> EnterAsync(string vm, CancellationToken cancellation, bool interrupt = true)
    {
        if (interrupt)
        {
            Find(vm)?.Checkpoints.Interrupt();
        }

        var gate = _gates.GetOrAdd(vm, _ => new SemaphoreSlim(1));
        await gate.WaitAsync(cancellation);
        return new Exit(gate);
    }

    public RunHistory HistoryOf(string vm) => LogOf(vm).ToHistory();

    public void ForgetHistory(string vm) => _logs.TryRemove(vm, out _);

    private RunLog LogOf(string vm) => _logs.GetOrAdd(vm, _ => new RunLog(_silo.Address, _silo.Name));

    private sealed class Exit(SemaphoreSlim gate) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                gate.Release();
            }
        }
    }
}

/// <summary>This silo's name, its address with its generation, and the protocol versions that it understands.</summary>
internal sealed record SiloIdentity(string Name, string Address, ProtocolRange Protocol);
