using Godwit.Engine.Machine;
using Godwit.Grains.Images;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Silo.Checkpoints;
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
    private readonly ICheckpointStore _checkpoints;

    public VmLifecycle(HostedVms vms, Admission admission, IOwnershipStore store, IImageStore images, IOptions<OwnershipOptions> ownership, TimeProvider time, SiloIdentity silo, VmEndings endings, ICheckpointStore checkpoints)
    {
        _vms = vms;
        _admission = admission;
        _store = store;
        _images = images;
        _ownership = ownership.Value;
        _time = time;
        _silo = silo;
        _endings = endings;
        _checkpoints = checkpoints;
    }

    public async Task StartAsync(string name, CancellationToken cancellation)
    {
        using var entry = _admission.Admit();
        using var turn = await _vms.EnterAsync(name, cancellation);
        await BringUpAsync(
            name,
            vm => BootAsync(vm, cancellation),
            () => ClaimAsync(name, cancellation),
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
            () => ClaimAsync(name, cancellation),
            run: false,
            cancellation);
    }

    /// <summary>
    /// Takes over a VM whose owner's lease has run out under this version of its record: the machine is built first, from
    /// the checkpoint that the record names or by booting it, and claimed then. Of several takers one gets it.
    /// </summary>
    public async Task RecoverAsync(string name, string lapsedVersion, CancellationToken cancellation)
    {
        using var entry = _admission.Admit();
        using var turn = await _vms.EnterAsync(name, cancellation);
        var record = await Takeover.RequireAsync(_store, name, lapsedVersion, cancellation);
        var definition = await _store.ReadDefinitionAsync(name, cancellation) ?? throw Tenure.NoSuchVm(name);
        var policy = definition.Restart ?? RestartPolicy.None;
        if (policy.Mode == RestartMode.None)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{name}\" has no restart policy; start it by command.");
        }

        var mark = policy.Mode == RestartMode.Checkpoint ? record.Checkpoint : null;
        long? consoleEnd = null;
        await BringUpAsync(
            name,
            async vm =>
            {
                if (mark is null)
                {
                    await BootAsync(vm, cancellation);
                }
                else
                {
                    consoleEnd = await RestoreAsync(vm, mark, cancellation);
                }
            },
            () => Takeover.ClaimAsync(_store, _time, _ownership, name, lapsedVersion, _silo.Address, _silo.Name, consoleEnd, cancellation),
            run: mark is not { Paused: true },
            cancellation,
            recovery: true);
    }

    public async Task StopAsync(string name, string reason, CancellationToken cancellation)
    {
        using var turn = await _vms.EnterAsync(name, cancellation);
        var vm = await _vms.RequireAsync(name);
        if (vm.MigrationUnderWay)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{name}\" is migrating to {vm.Job!.Ticket.TargetName}; wait for it or cancel it first.");
        }

        await _endings.EndAsync(vm, reason, null);
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
            _endings.ForgetCheckpoints(name);
        }
    }

    private Task<Tenure> ClaimAsync(string name, CancellationToken cancellation) =>
        Tenure.ClaimAsync(_store, _time, _ownership, name, _silo.Address, _silo.Name, cancellation);

    private async Task BootAsync(HostedVm vm, CancellationToken cancellation)
    {
        var images = await EngineSpecs.LoadAsync(vm.Definition, _images, cancellation);
        await vm.Machine.CreateAsync(EngineSpecs.ToSpec(vm.Definition), images, cancellation);
    }

    private async Task<long> RestoreAsync(HostedVm vm, CheckpointMark mark, CancellationToken cancellation)
    {
        if (mark.Store != _checkpoints.Id)
        {
            throw new ClusterException(ClusterError.Unavailable, $"Silo {_silo.Name} does not see the folder that holds the checkpoint of VM \"{vm.Name}\" (store {mark.Store}).");
        }

        List<Stream> files = [];
        try
        {
            foreach (var file in mark.Files)
            {
                files.Add(_checkpoints.Open(vm.Name, file));
            }

            return await vm.Machine.RestoreCheckpointAsync(files, mark.Digest, cancellation);
        }
        finally
        {
            foreach (var file in files)
            {
                await file.DisposeAsync();
            }
        }
    }

    /// <summary>
    /// Builds the machine first and claims the VM then: a VM that cannot be built here stays as it was, and a claimed one
    /// runs at once.
    /// </summary>
    private async Task BringUpAsync(string name, Func<HostedVm, Task> build, Func<Task<Tenure>> claim, bool run, CancellationToken cancellation, bool recovery = false)
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
            vm.Tenure = await claim();
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
            if (recovery)
            {
                await HandBackAsync(vm);
            }
            else
            {
                await _endings.EndAsync(vm, $"it did not start: {e.Message}", null);
            }

            await _vms.DropAsync(vm);
            if (e is MachineException or InvalidDataException or IOException or UnauthorizedAccessException)
            {
                throw new ClusterException(ClusterError.Failed, $"VM \"{name}\" cannot be started on silo {_silo.Name}: {e.Message}");
            }

            throw;
        }
    }

    /// <summary>Taken over, but not able to run it: the lease ends at once, so that another silo may try.</summary>
    private static async Task HandBackAsync(HostedVm vm)
    {
        if (vm.Tenure is { Lost: false } tenure)
        {
            await vm.Machine.DisposeAsync();
            await tenure.ChangeAsync(r => r.State == OwnershipState.Running ? r with { Lease = TimeSpan.Zero } : null, CancellationToken.None);
            tenure.GiveUp();
        }
    }
}
