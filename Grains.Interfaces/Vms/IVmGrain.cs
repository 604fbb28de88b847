using Orleans.Concurrency;

namespace Godwit.Grains.Interfaces.Vms;

/// <summary>
/// A VM's controller; key: its name. It holds nothing that the VM needs: definition and ownership are in the store, the
/// machine is in a silo's VM host. Refusals are <see cref="ClusterException"/>.
/// </summary>
[Alias("Godwit.IVmGrain")]
public interface IVmGrain : IGrainWithStringKey
{
    [Alias("Create"), ResponseTimeout(CallLimits.Command)]
    Task Create(VmDefinition definition);

    /// <summary>Boots the VM on a silo (name or address; null: the one that placement chooses). Also takes a lost VM over, once its old lease has run out.</summary>
    [Alias("Start"), ResponseTimeout(CallLimits.Command)]
    Task<VmInfo> Start(string? silo);

    [Alias("Pause"), ResponseTimeout(CallLimits.Command)]
    Task Pause();

    [Alias("Resume"), ResponseTimeout(CallLimits.Command)]
    Task Resume();

    /// <summary>Ends the guest; its memory is gone.</summary>
    [Alias("Stop"), ResponseTimeout(CallLimits.Command)]
    Task Stop();

    /// <summary>Changes the VM's restart policy; its silo follows within seconds.</summary>
    [Alias("SetRestart"), ResponseTimeout(CallLimits.Command)]
    Task SetRestart(RestartPolicy policy);

    /// <summary>Forgets a stopped VM.</summary>
    [Alias("Delete"), ResponseTimeout(CallLimits.Command)]
    Task Delete();

    /// <summary>Starts a migration and returns at once; the job goes on whatever the caller does.</summary>
    [Alias("Migrate"), ResponseTimeout(CallLimits.Command)]
    Task<MigrationTicket> Migrate(MigrationRequest request);

    /// <summary>Asks the running migration to stop; refused once it has committed.</summary>
    [Alias("CancelMigration"), AlwaysInterleave, ResponseTimeout(CallLimits.Command)]
    Task CancelMigration();

    [Alias("Show"), AlwaysInterleave]
    Task<VmInfo> Show();

    [Alias("Locate"), AlwaysInterleave]
    Task<VmLocation> Locate();

    /// <summary>Chooses the silo on which a stopped VM will be restored; the upload goes to that host grain.</summary>
    [Alias("PlaceRestore"), ResponseTimeout(CallLimits.Command)]
    Task<VmLocation> PlaceRestore(string? silo);
}
