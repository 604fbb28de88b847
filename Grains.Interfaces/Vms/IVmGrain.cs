using Orleans.Concurrency;

namespace Godwit.Grains.Interfaces.Vms;

/// <summary>
/// A VM's controller; key: its name. It holds nothing that the VM needs: definition and ownership are in the store, the
/// machine is in a silo's VM host. Refusals are <see cref="ClusterException"/>.
/// </summary>
[Alias("Godwit.IVmGrain")]
public interface IVmGrain : IGrainWithStringKey
{
    [Alias("Create")]
    Task Create(VmDefinition definition);

    /// <summary>Boots the VM on a silo (name or address; null: the one with most free memory). Also takes a lost VM over, once its old lease has run out.</summary>
    [Alias("Start")]
    Task<VmInfo> Start(string? silo);

    [Alias("Pause")]
    Task Pause();

    [Alias("Resume")]
    Task Resume();

    /// <summary>Ends the guest; its memory is gone.</summary>
    [Alias("Stop")]
    Task Stop();

    /// <summary>Forgets a stopped VM.</summary>
    [Alias("Delete")]
    Task Delete();

    /// <summary>Starts a migration and returns at once; the job goes on whatever the caller does.</summary>
    [Alias("Migrate")]
    Task<MigrationTicket> Migrate(MigrationRequest request);

    /// <summary>Asks the running migration to stop; refused once it has committed.</summary>
    [Alias("CancelMigration"), AlwaysInterleave]
    Task CancelMigration();

    [Alias("Show"), AlwaysInterleave]
    Task<VmInfo> Show();

    [Alias("Locate"), AlwaysInterleave]
    Task<VmLocation> Locate();

    /// <summary>Chooses the silo on which a stopped VM will be restored; the upload goes to that host grain.</summary>
    [Alias("PlaceRestore")]
    Task<VmLocation> PlaceRestore(string? silo);
}
