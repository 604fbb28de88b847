using Godwit.Grains.Hosts;
using Godwit.Grains.Images;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Grains.Placement;
using Microsoft.Extensions.Options;
using Orleans.Runtime;

namespace Godwit.Grains.Vms;

/// <summary>
/// A VM's controller. Every call begins with the ownership record: an activation remembers nothing, so that losing one,
/// or having two for a moment, changes nothing for the guest.
/// </summary>
[OwnerPlacement]
public sealed class VmGrain : Grain, IVmGrain
{
    private static readonly TimeSpan _figuresLimit = TimeSpan.FromSeconds(5);

    private readonly IOwnershipStore _store;
    private readonly IImageStore _images;
    private readonly SiloDirectory _silos;
    private readonly ILocalSiloDetails _here;
    private readonly OwnershipOptions _ownership;

    public VmGrain(IOwnershipStore store, IImageStore images, SiloDirectory silos, ILocalSiloDetails here, IOptions<OwnershipOptions> ownership)
    {
        _store = store;
        _images = images;
        _silos = silos;
        _here = here;
        _ownership = ownership.Value;
    }

    private string Name => this.GetPrimaryKeyString();

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        VmName.Require(Name);
        return base.OnActivateAsync(cancellationToken);
    }

    public async Task Create(VmDefinition definition)
    {
        if (await StoreReads.OrRefuseAsync(stop => _store.ReadAsync(Name, stop)) is not null)
        {
            throw AlreadyExists();
        }

        await DefinitionRules.RequireAsync(Name, definition, await _silos.HostsAsync(), _images);
        if (!await _store.CreateAsync(Name, definition, CancellationToken.None))
        {
            throw AlreadyExists();
        }
    }

    public async Task<VmInfo> Start(string? silo)
    {
        var place = await PlaceAsync(silo);
        try
        {
            await OnHost(place.Address, place.Name, h => h.StartVm(Name));
        }
        finally
        {
            await _silos.SettleAsync(Name);
        }

        return await Show();
    }

    public async Task Pause()
    {
        var record = await RequireOwnedAsync("pause");
        await OnHost(record.Owner!, record.OwnerName, h => h.PauseVm(Name));
    }

    public async Task Resume()
    {
        var record = await RequireOwnedAsync("resume");
        await OnHost(record.Owner!, record.OwnerName, h => h.ResumeVm(Name));
    }

    public async Task Stop()
    {
        var record = await RequireRecordAsync();
        if (record.State == OwnershipState.Stopped)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" is not running: {record.Reason}.");
        }

        if (_silos.IsAlive(record.Owner))
        {
            await OnHost(record.Owner!, record.OwnerName, h => h.StopVm(Name));
            return;
        }

        // Dead is only what membership holds it to be: until its lease has run out it may still run the guest.
        record = await LeaseWatch.WaitUntilExpiredAsync(_store, TimeProvider.System, _ownership, Name, record, CancellationToken.None);
        if (await _store.CompareExchangeAsync(Name, record.Version, record.Next() with { State = OwnershipState.Stopped, Target = null, Attempt = null, Confirmed = true, Checkpoint = null, Reason = $"its silo {record.OwnerName} died" }, CancellationToken.None) is not null)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" changed hands meanwhile; look at it again.");
        }
    }

    public async Task SetRestart(RestartPolicy policy)
    {
        DefinitionRules.RequireRestart(policy);
        if (!await _store.ChangeDefinitionAsync(Name, d => d with { Restart = policy }, CancellationToken.None))
        {
            throw Tenure.NoSuchVm(Name);
        }
    }

    public async Task Delete()
    {
        var record = await RequireRecordAsync();
        if (record.State != OwnershipState.Stopped)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" is running; stop it first.");
        }

        if (!await _store.DeleteAsync(Name, record.Version, CancellationToken.None))
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" was started meanwhile; stop it first.");
        }

        // Wherever it has been: its console on the last silo, its history on all.
        foreach (var silo in _silos.Live())
        {
            try
            {
                await OnHost(silo.Address, silo.Name, h => h.ForgetVm(Name));
            }
            catch (ClusterException e) when (e.Error == ClusterError.Unavailable)
            {
                // It is on its way out, and what it remembers with it.
            }
        }
    }

    public async Task<MigrationTicket> Migrate(MigrationRequest request)
    {
        var record = await RequireRecordAsync();
        if (record.State == OwnershipState.Stopped)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" is stopped; only a running VM can migrate.");
        }

        RequireAlive(record);
        var target = request.Target is { } named ? _silos.Require(named) : null;
        if (target?.Address == record.Owner)
        {
            throw new ClusterException(ClusterError.Invalid, $"VM \"{Name}\" is on silo {record.OwnerName} already.");
        }

        if (record.State == OwnershipState.Moving)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" is moving already; wait for it or cancel it.");
        }

        var definition = await RequireDefinitionAsync();
        target = target is not null ? await _silos.RequireServingAsync(target.Address) : await _silos.ChooseAsync(Name, definition, definition.VcpuCount, record.Owner);
        try
        {
            // Once there is a ticket the target holds what the VM needs.
            return await OnHost(record.Owner!, record.OwnerName, h => h.StartMigration(Name, target.Address, request));
        }
        finally
        {
            await _silos.SettleAsync(Name);
        }
    }

    public async Task CancelMigration()
    {
        var record = await RequireOwnedAsync("cancel the migration of");
        await OnHost(record.Owner!, record.OwnerName, h => h.CancelMigration(Name));
    }

    public async Task<VmInfo> Show()
    {
        var record = await RequireRecordAsync();
        var definition = await RequireDefinitionAsync();
        var hosted = record.Owner is null || !_silos.IsAlive(record.Owner) ? null : await TryGetHostedAsync(record.Owner);
        var state = await IsLostAsync(record) ? SiloDirectory.Lost(definition) : StateOf(record, hosted);
        return new VmInfo
        {
            Name = Name,
            Definition = definition,
            State = state,
            Silo = record.OwnerName,
            SiloAddress = record.Owner,
            Epoch = record.Epoch,
            BootEpoch = record.BootEpoch,
            Reason = record.State == OwnershipState.Stopped ? record.Reason : state == VmState.Recovering ? await WhyNotYetAsync() : null,
            ExitCode = record.ExitCode,
            Figures = hosted?.Figures,
            Migration = hosted?.Migration ?? (record.LastMove is { } m
                ? new MigrationTicket { Job = m.Job, Vm = Name, SourceAddress = m.Source, SourceName = m.SourceName, TargetAddress = m.Target, TargetName = m.TargetName }
                : null),
            Checkpoint = record.Checkpoint is { } c ? new CheckpointInfo { Number = c.Number, Epoch = c.Epoch, TakenAt = c.TakenAt, Files = c.Files.Count, Bytes = c.Bytes } : null,
            Checkpoints = hosted?.Checkpoints,
            Recovery = record.Recovery,
        };
    }

    public async Task<VmLocation> Locate()
    {
        var record = await RequireRecordAsync();
        return new VmLocation
        {
            SiloAddress = record.Owner,
            SiloName = record.OwnerName,
            Epoch = record.Epoch,
            BootEpoch = record.BootEpoch,
            SiloAlive = _silos.IsAlive(record.Owner),
            Owned = record.State != OwnershipState.Stopped,
        };
    }

    public async Task<VmLocation> PlaceRestore(string? silo)
    {
        var place = await PlaceAsync(silo);
        var record = await RequireRecordAsync();
        return new VmLocation
        {
            SiloAddress = place.Address,
            SiloName = place.Name,
            Epoch = record.Epoch,
            BootEpoch = record.BootEpoch,
            SiloAlive = true,
            Owned = false,
        };
    }

    /// <summary>Its owner is dead, and no living target is about to commit.</summary>
    private async Task<bool> IsLostAsync(OwnershipRecord record)
    {
        if (record.State == OwnershipState.Stopped || _silos.IsAlive(record.Owner))
        {
            return false;
        }

        if (record.State != OwnershipState.Moving || !_silos.IsAlive(record.Target))
        {
            return true;
        }

        try
        {
            var receiving = await GrainFactory.GetGrain<IHostGrain>(record.Target!).IsReceiving(record.Attempt!).WaitAsync(_figuresLimit);
            return !receiving && (await RequireRecordAsync()).Version == record.Version;
        }
        catch (Exception e) when (e is TimeoutException or OrleansException)
        {
            return false;
        }
    }

    /// <summary>What keeps its watchers from bringing it up again; null while nothing does.</summary>
    private async Task<string?> WhyNotYetAsync() =>
        (await _silos.HostsAsync()).Select(h => h.Unrecovered?.GetValueOrDefault(Name)).FirstOrDefault(r => r is not null);

    private static VmState StateOf(OwnershipRecord record, HostedVmStatus? hosted) => (record.State, hosted) switch
    {
        (OwnershipState.Stopped, _) => VmState.Stopped,
        (OwnershipState.Moving, _) => VmState.Migrating,
        (_, { MigrationUnderWay: true }) => VmState.Migrating,
        (_, { Paused: true }) => VmState.Paused,
        _ => VmState.Running,
    };

    /// <summary>Where a VM that nobody runs may start: the silo named, or the one with most room.</summary>
    private async Task<SiloRef> PlaceAsync(string? silo)
    {
        var record = await RequireRecordAsync();
        if (record.State != OwnershipState.Stopped && _silos.IsAlive(record.Owner))
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" is running already, on silo {record.OwnerName}.");
        }

        var definition = await RequireDefinitionAsync();
        if (record.State != OwnershipState.Stopped && SiloDirectory.Lost(definition) == VmState.Recovering)
        {
            // Booting it now would throw away what it can go on from, or race with who takes it over.
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" has lost its silo {record.OwnerName}, and the cluster brings it up elsewhere ({definition.Restart}); stop it first to boot it anew.");
        }

        return silo is null ? await _silos.ChooseAsync(Name, definition, definition.VcpuCount, null) : await _silos.RequireServingAsync(silo);
    }

    private async Task<OwnershipRecord> RequireRecordAsync()
    {
        var record = await StoreReads.OrRefuseAsync(stop => _store.ReadAsync(Name, stop)) ?? throw Tenure.NoSuchVm(Name);
        if (record.Owner != _here.SiloAddress.ToParsableString() && _silos.IsAlive(record.Owner))
        {
            // The machine is elsewhere: the next activation is placed beside it, this one ends once it is idle.
            DeactivateOnIdle();
        }

        return record;
    }

    private async Task<VmDefinition> RequireDefinitionAsync() =>
        await _store.ReadDefinitionAsync(Name, CancellationToken.None) ?? throw Tenure.NoSuchVm(Name);

    private async Task<OwnershipRecord> RequireOwnedAsync(string what)
    {
        var record = await RequireRecordAsync();
        if (record.State == OwnershipState.Stopped)
        {
            throw new ClusterException(ClusterError.WrongState, $"Cannot {what} VM \"{Name}\": it is stopped ({record.Reason}).");
        }

        RequireAlive(record);
        return record;
    }

    private void RequireAlive(OwnershipRecord record)
    {
        if (!_silos.IsAlive(record.Owner))
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{Name}\" is lost: its silo {record.OwnerName} died; start it again.");
        }
    }

    private async Task<HostedVmStatus?> TryGetHostedAsync(string address)
    {
        try
        {
            return await GrainFactory.GetGrain<IHostGrain>(address).GetVm(Name).WaitAsync(_figuresLimit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException or ClusterException)
        {
            return null;
        }
    }

    private Task<bool> OnHost(string address, string? name, Func<IHostGrain, Task> call) =>
        OnHost(address, name, async h =>
        {
            await call(h);
            return true;
        });

    private async Task<T> OnHost<T>(string address, string? name, Func<IHostGrain, Task<T>> call)
    {
        try
        {
            return await call(GrainFactory.GetGrain<IHostGrain>(address));
        }
        catch (Exception e) when (e is TimeoutException or OrleansException)
        {
            throw new ClusterException(ClusterError.Unavailable, $"Silo {name ?? address} does not answer; look at VM \"{Name}\" again in some seconds.");
        }
    }

    private ClusterException AlreadyExists() => new(ClusterError.AlreadyExists, $"There is a VM \"{Name}\" already.");
}
