using Godwit.Grains.Interfaces;

namespace Godwit.Grains.Ownership;

/// <summary>
/// This silo's hold on one VM's record. Its changes are made one after the other, so that a lease renewal never gets in
/// the way of a move. Once a compare-and-swap is refused the tenure is lost for good.
/// </summary>
public sealed class Tenure : IDisposable
{
    private readonly IOwnershipStore _store;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _turn = new(1);
    private OwnershipRecord _record;
    private volatile bool _lost;

    public Tenure(IOwnershipStore store, TimeProvider time, string vm, OwnershipRecord record, long leaseStarted)
    {
        _store = store;
        _time = time;
        Vm = vm;
        _record = record;
        LeaseStarted = leaseStarted;
    }

    public string Vm { get; }

    /// <summary>The record as this silo last wrote it.</summary>
    public OwnershipRecord Record => _record;

    public long Epoch => _record.Epoch;

    /// <summary>Another has the VM now; nothing of it may run here.</summary>
    public bool Lost => _lost;

    /// <summary>When the latest renewal that took effect was asked for (ticks of the time provider).</summary>
    public long LeaseStarted { get; private set; }

    /// <summary>When this silo's right to run ends, by its own monotonic clock.</summary>
    public long LeaseEnds => LeaseStarted + (long)(_record.Lease.TotalSeconds * _time.TimestampFrequency);

    /// <summary>Extends the lease; false: the tenure is lost.</summary>
    public Task<bool> RenewAsync(CancellationToken cancellation) =>
        ChangeAsync(r => r with { Renewals = r.Renewals + 1 }, cancellation);

    /// <summary>
    /// Writes a change of the record under a new version. A change that returns null is not wanted any more and counts as
    /// refused without a loss. Every successful write starts the lease anew. Cancellation ends the wait for the turn only:
    /// a write once asked is waited for until its result is known.
    /// </summary>
    public async Task<bool> ChangeAsync(Func<OwnershipRecord, OwnershipRecord?> change, CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            if (_lost || change(_record.Next()) is not { } next)
            {
                return false;
            }

            // The lease counts from before the write: the store may have applied it at any time since.
            var asked = _time.GetTimestamp();
            var conflict = await _store.CompareExchangeAsync(Vm, _record.Version, next, CancellationToken.None);
            if (conflict is null)
            {
                _record = next;
                LeaseStarted = asked;
                return true;
            }

            RecordGone = conflict.Current is null;
            _lost = true;
            return false;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>
    /// Takes the record back after another's write, where <paramref name="decide"/> finds that it may: used by a source
    /// whose target died before it ran. Returns false, and the tenure is lost, where decide returns null.
    /// </summary>
    public async Task<bool> RetakeAsync(Func<OwnershipRecord, OwnershipRecord?> decide, OwnershipRecord observed, CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            if (decide(observed.Next()) is not { } next)
            {
                _lost = true;
                return false;
            }

            var asked = _time.GetTimestamp();
            if (await _store.CompareExchangeAsync(Vm, observed.Version, next, CancellationToken.None) is not null)
            {
                return false;
            }

            _record = next;
            LeaseStarted = asked;
            _lost = false;
            return true;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>The tenure is lost because there is no record any more.</summary>
    public bool RecordGone { get; private set; }

    /// <summary>Another silo runs the VM: nothing here may change the record any more.</summary>
    public void GiveUp() => _lost = true;

    public void Dispose() => _turn.Dispose();

    /// <summary>
    /// Makes this silo the owner of a stopped VM, or of one whose owner's lease has run out (waited for here), under the
    /// next epoch and as a new boot. Throws <see cref="ClusterException"/> where the VM is held by another that lives.
    /// </summary>
    public static async Task<Tenure> ClaimAsync(IOwnershipStore store, TimeProvider time, OwnershipOptions options, string vm, string silo, string siloName, CancellationToken cancellation)
    {
        var record = await store.ReadAsync(vm, cancellation) ?? throw NoSuchVm(vm);
        if (record.State != OwnershipState.Stopped)
        {
            record = await LeaseWatch.WaitUntilExpiredAsync(store, time, options, vm, record, cancellation);
        }

        var next = record.Next() with
        {
            State = OwnershipState.Running,
            Owner = silo,
            OwnerName = siloName,
            Target = null,
            Attempt = null,
            Epoch = record.Epoch + 1,
            BootEpoch = record.Epoch + 1,
            Renewals = 0,
            Lease = options.Lease,
            Confirmed = true,
            Reason = null,
            ExitCode = null,
            Checkpoint = null,
            Rollbacks = null,
            Recovery = null,
        };
        var asked = time.GetTimestamp();
        if (await store.CompareExchangeAsync(vm, record.Version, next, cancellation) is { } conflict)
        {
            throw conflict.Current is null
                ? NoSuchVm(vm)
                : new ClusterException(ClusterError.WrongState, $"VM \"{vm}\" was started elsewhere at the same time (silo {conflict.Current.OwnerName}).");
        }

        return new Tenure(store, time, vm, next, asked);
    }

    public static ClusterException NoSuchVm(string vm) => new(ClusterError.NotFound, $"There is no VM \"{vm}\".");
}
