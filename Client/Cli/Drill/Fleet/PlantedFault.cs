using Godwit.Client;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill.Fleet;

/// <summary>Faults that need a migration of their own.</summary>
internal static class PlantedFault
{
    /// <summary>Moves a guest with a fault planted in the migration; whether that itself fails is for the checks to find.</summary>
    public static async Task MoveAsync(WatchedGuest guest, string target, string fault, CancellationToken cancellation)
    {
        MigrationHandle handle = await guest.Vm.MigrateAsync(new MigrationRequest { Target = target, Inject = fault }, cancellation).ConfigureAwait(false);
        await handle.ResultAsync(cancellation).ConfigureAwait(false);
    }
}
