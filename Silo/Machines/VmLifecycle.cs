using Godwit.Engine.Machine;
using Godwit.Grains.Images;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Grains.Placement;
using Microsoft.Extensions.Options;

namespace Godwit.Silo.Machines;

/// <summary>Starting and ending machines here: build, claim the record, run; stop, record, keep the console.</summary>
internal sealed class VmLifecycle
{
    private readonly HostedVms _vms;
    private readonly IOwnershipStore _store;
    private readonly IImageStore _images;
    private readonly OwnershipOptions _ownership;
    private readonly TimeProvider _time;
    private readonly SiloIdentity _silo;
    private readonly VmEndings _endings;
    private readonly Admission _admission;

    public VmLifecycle(HostedVms vms, Admission admission, IOwnershipStore store, IImageStore images, IOptions<OwnershipOptions> ownership, TimeProvider time, SiloIdentity silo, VmEndings endings)
    {
        _vms = vms;
        _admission = admission;
        _store = store;
        _images = images;
        _ownership = ownership.Value;
        _time = time;
        _silo = silo;
        _endings = endings;
    }

    public async Task StartAsync(string name, CancellationToken cancellation)
    {
        using var entry = _admission.Admit();
        using var turn = await _vms.EnterAsync(name, cancellation);
        await BringUpAsync(
            name,
            async vm =>
            {
                var images = await EngineSpecs.LoadAsync(vm.Definition, _images, cancellation);
                await vm.Machine.CreateAsync(EngineSpecs.ToSpec(vm.Definition), images, cancellation);
            },
            run: true,
            cancellation);
    }

    public async Task RestoreAsync(string name, FileStream snapshot, CancellationToken cancellation)
    {
        await using var file = snapshot;
        using var entry = _admission.Admit();
        using var turn = await _vms.EnterAsync(name, cancellation);
        await BringUpAsync(
            name,
            vm =>
            {
                file.Position = 0;
                return vm.Machine.RestoreAsync(file, cancellation);
            },
            run: false,
            cancellation);
    }

    public async Task StopAsync(string name, string reason, CancellationToken cancellation)
    {
        using var turn = await _vms.EnterAsync(name, cancellation);
        var vm = await _vms.RequireAsync(name);
        if (vm.MigrationUnderWay)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{name}\" is migrating to {vm.Job!.Ticket.TargetName}; wait for it or cancel it first.");
        }

        await VmEndings.EndAsync(vm, reason, null);
    }

    /// <summary>Drops an ended machine and what is remembered of the VM.</summary>
    public async Task ForgetAsync(string name, CancellationToken cancellation)
    {
        using var turn = await _vms.EnterAsync(name, cancellation);
        if (_vms.Find(name) is { Ended: true } ended)
        {
            await _vms.DropAsync(ended);
        }

        if (_vms.Find(name) is null)
        {
            _vms.ForgetHistory(name);
        }
    }

    /// <summary>
    /// Builds the machine first and claims the VM then: a VM that cannot be built here stays as it was, and a claimed one
    /// runs at once.
    /// </summary>
    private async Task BringUpAsync(string name, Func<HostedVm, Task> build, bool run, CancellationToken cancellation)
    {
        var definition = await _store.ReadDefinitionAsync(name, cancellation) ?? throw Tenure.NoSuchVm(name);
        if (_vms.Find(name) is { } old)
        {
            if (!old.Ended)
            {
                throw new ClusterException(ClusterError.WrongState, $"Silo {_silo.Name} holds a machine of VM \"{name}\" already.");
            }

            await _vms.DropAsync(old);
        }

        var vm = _vms.Build(name, definition, _vms.Capacity.Reserve(VmDemand.Of(name, definition)));
        try
        {
            await build(vm);
            vm.Tenure = await Tenure.ClaimAsync(_store, _time, _ownership, name, _silo.Address, _silo.Name, cancellation);
            vm.Grant();
            if (!_vms.TryAdd(vm))
            {
                throw new ClusterException(ClusterError.WrongState, $"Silo {_silo.Name} is receiving VM \"{name}\" already.");
            }

            vm.Follow(end => _endings.OnMachineEndedAsync(vm, end.Reason, end.ExitCode));
            if (run)
            {
                await vm.Machine.RunAsync(cancellation);
            }

            vm.Serve();
        }
        catch (Exception e)
        {
            await VmEndings.EndAsync(vm, $"it did not start: {e.Message}", null);
            await _vms.DropAsync(vm);
            if (e is MachineException or InvalidDataException)
            {
                throw new ClusterException(ClusterError.Failed, $"VM \"{name}\" cannot be started on silo {_silo.Name}: {e.Message}");
            }

            throw;
        }
    }
}
