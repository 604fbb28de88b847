using Godwit.Engine.Migration;

namespace Godwit.Grains.Ownership;

/// <summary>The target's side of a move: one compare-and-swap from Moving to Running here, at the next epoch.</summary>
public sealed class MoveTarget : IMigrationTargetAuthority
{
    private readonly IOwnershipStore _store;
    private readonly TimeProvider _time;
    private readonly OwnershipOptions _options;
    private readonly string _vm;
    private readonly string _attempt;
    private readonly string _silo;
    private readonly string _siloName;
    private readonly Action<Tenure> _committed;

    /// <param name="committed">Told of the tenure before the engine learns of it, so that its lease is renewed from the first moment.</param>
    public MoveTarget(IOwnershipStore store, TimeProvider time, OwnershipOptions options, string vm, string attempt, string silo, string siloName, Action<Tenure> committed)
    {
        _store = store;
        _time = time;
        _options = options;
        _vm = vm;
        _attempt = attempt;
        _silo = silo;
        _siloName = siloName;
        _committed = committed;
    }

    /// <summary>This silo's hold on the VM, once committed.</summary>
    public Tenure? Tenure { get; private set; }

    public async Task<long?> CommitMoveAsync(CancellationToken cancellation)
    {
        while (await _store.ReadAsync(_vm, cancellation) is { State: OwnershipState.Moving } record
            && record.Target == _silo && record.Attempt == _attempt)
        {
            var next = record.Next() with
            {
                State = OwnershipState.Running,
                Owner = _silo,
                OwnerName = _siloName,
                Target = null,
                Epoch = record.Epoch + 1,
                Renewals = 0,
                Lease = _options.Lease,
                Confirmed = false,
            };
            var asked = _time.GetTimestamp();

            // Once asked it may stand, whoever has lost patience meanwhile: its result is always waited for.
            if (await _store.CompareExchangeAsync(_vm, record.Version, next, CancellationToken.None) is null)
            {
                Tenure = new Tenure(_store, _time, _vm, next, asked);
                _committed(Tenure);
                return next.Epoch;
            }

            // The source renewed its lease or took the VM back; the next look tells.
        }

        return null;
    }

    /// <summary>Reports that the VM runs here: from now on the source may not take it back.</summary>
    public Task<bool> ConfirmAsync(CancellationToken cancellation) =>
        Tenure!.ChangeAsync(r => r with { Confirmed = true, Attempt = null }, cancellation);
}
