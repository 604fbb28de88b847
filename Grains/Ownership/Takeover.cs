using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Ownership;

/// <summary>
/// Makes this silo the owner of a VM whose owner's lease has run out, by one compare-and-swap on the version of the record
/// that has stood still: of any number of takers, and an owner that comes back, one wins.
/// </summary>
public static class Takeover
{
    private const int MaxRollbacks = 64;

    /// <param name="lapsedVersion">Has stood unchanged for lease and margin, by the clock of whoever watched it (<see cref="LapseWatch"/>).</param>
    /// <param name="consoleEnd">Of the checkpoint that the guest goes on from; null: it boots again.</param>
    public static async Task<Tenure> ClaimAsync(IOwnershipStore store, TimeProvider time, OwnershipOptions options, string vm, string lapsedVersion, string silo, string siloName, long? consoleEnd, CancellationToken cancellation)
    {
        var record = await RequireAsync(store, vm, lapsedVersion, cancellation);
        var epoch = record.Epoch + 1;
        var next = record.Next() with
        {
            State = OwnershipState.Running,
            Owner = silo,
            OwnerName = siloName,
            Target = null,
            Attempt = null,
            Epoch = epoch,
            BootEpoch = consoleEnd is null ? epoch : record.BootEpoch,
            Renewals = 0,
            Lease = options.Lease,
            Confirmed = true,
            Reason = null,
            ExitCode = null,
            Checkpoint = consoleEnd is null ? null : record.Checkpoint,
            Rollbacks = consoleEnd is { } offset ? Add(record.Rollbacks ?? [], new ConsoleRollback { Epoch = epoch, Offset = offset }) : null,
            Recovery = new RecoveryInfo { Epoch = epoch, LostSilo = record.OwnerName, Checkpoint = consoleEnd is null ? null : record.Checkpoint?.Number },
        };
        var asked = time.GetTimestamp();
        return await store.CompareExchangeAsync(vm, lapsedVersion, next, cancellation) is null
            ? new Tenure(store, time, vm, next, asked)
            : throw Changed(vm);
    }

    /// <summary>The record, where it still has that version; throws <see cref="ClusterException"/> otherwise.</summary>
    public static async Task<OwnershipRecord> RequireAsync(IOwnershipStore store, string vm, string lapsedVersion, CancellationToken cancellation)
    {
        var record = await store.ReadAsync(vm, cancellation) ?? throw Tenure.NoSuchVm(vm);
        return record.Version == lapsedVersion && record.State != OwnershipState.Stopped ? record : throw Changed(vm);
    }

    /// <summary>
    /// What a reader needs who has seen any earlier epoch is the least offset of the rollbacks since; so one that a later one
    /// undercuts is not kept.
    /// </summary>
    public static IReadOnlyList<ConsoleRollback> Add(IReadOnlyList<ConsoleRollback> before, ConsoleRollback latest)
    {
        List<ConsoleRollback> kept = [.. before.Where(r => r.Offset < latest.Offset), latest];
        while (kept.Count > MaxRollbacks)
        {
            // The older one's offset under the newer one's epoch: a reader goes back further than it must, and is told.
            kept[1] = kept[1] with { Offset = kept[0].Offset };
            kept.RemoveAt(0);
        }

        return kept;
    }

    private static ClusterException Changed(string vm) =>
        new(ClusterError.WrongState, $"VM \"{vm}\" has been taken over, moved or renewed meanwhile.");
}
