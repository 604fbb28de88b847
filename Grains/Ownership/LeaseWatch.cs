using Godwit.Grains.Interfaces;

namespace Godwit.Grains.Ownership;

/// <summary>
/// Finds out that a lease has run out without trusting any clock but this machine's monotonic one: the owner's lease
/// ends at the latest one lease after its last renewal reached the store, and that was before we saw it.
/// </summary>
public static class LeaseWatch
{
    /// <summary>
    /// Returns the record, unchanged for lease and margin since it was first seen. Throws <see cref="ClusterException"/>
    /// as soon as the owner shows that it lives.
    /// </summary>
    public static async Task<OwnershipRecord> WaitUntilExpiredAsync(IOwnershipStore store, TimeProvider time, OwnershipOptions options, string vm, OwnershipRecord seen, CancellationToken cancellation)
    {
        var since = time.GetTimestamp();
        using var look = new PeriodicTimer(Interval(seen), time);
        while (time.GetElapsedTime(since) < seen.Lease + options.Margin)
        {
            await look.WaitForNextTickAsync(cancellation);
            var now = await store.ReadAsync(vm, cancellation) ?? throw Tenure.NoSuchVm(vm);
            if (now.Version == seen.Version)
            {
                continue;
            }

            if (now.State == OwnershipState.Stopped)
            {
                return now;
            }

            throw new ClusterException(ClusterError.WrongState, $"VM \"{vm}\" is held by silo {now.OwnerName}, which renews its lease.");
        }

        return seen;
    }

    /// <summary>
    /// After a lost migration link: waits until the record shows who runs the VM. Returns the record; where it is still
    /// the target's unconfirmed one, its lease has run out.
    /// </summary>
    public static async Task<OwnershipRecord?> WaitForTargetAsync(IOwnershipStore store, TimeProvider time, OwnershipOptions options, string vm, string attempt, CancellationToken cancellation)
    {
        var seen = await store.ReadAsync(vm, cancellation);
        if (seen is null || !Unconfirmed(seen, attempt))
        {
            return seen;
        }

        var since = time.GetTimestamp();
        using var look = new PeriodicTimer(Interval(seen), time);
        while (time.GetElapsedTime(since) < seen.Lease + options.Margin)
        {
            await look.WaitForNextTickAsync(cancellation);
            var now = await store.ReadAsync(vm, cancellation);
            if (now is null || !Unconfirmed(now, attempt))
            {
                return now;
            }

            if (now.Version != seen.Version)
            {
                seen = now;
                since = time.GetTimestamp();
            }
        }

        return seen;
    }

    /// <summary>Committed by the target of this attempt, and not yet reported as running.</summary>
    public static bool Unconfirmed(OwnershipRecord record, string attempt) =>
        record is { State: OwnershipState.Running, Confirmed: false } && record.Attempt == attempt;

    private static TimeSpan Interval(OwnershipRecord record) =>
        TimeSpan.FromTicks(Math.Max(record.Lease.Ticks / 20, TimeSpan.FromMilliseconds(10).Ticks));
}
