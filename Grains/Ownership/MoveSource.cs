using Godwit.Engine.Migration;

namespace Godwit.Grains.Ownership;

/// <summary>The source's side of a move: the compare-and-swaps of docs/migration.md over this silo's tenure.</summary>
public sealed class MoveSource : IMigrationSourceAuthority
{
    private readonly IOwnershipStore _store;
    private readonly TimeProvider _time;
    private readonly OwnershipOptions _options;
    private readonly Tenure _tenure;
    private readonly LastMove _move;
    private readonly Action<Tenure> _grant;

    /// <param name="grant">Gives the machine its permission to run under the tenure's epoch; called before the engine may resume it.</param>
    public MoveSource(IOwnershipStore store, TimeProvider time, OwnershipOptions options, Tenure tenure, LastMove move, Action<Tenure> grant)
    {
        _store = store;
        _time = time;
        _options = options;
        _tenure = tenure;
        _move = move;
        _grant = grant;
    }

    /// <summary>Whether the record has left Running(A): from here on only the record says who runs.</summary>
    public bool Begun { get; private set; }

    public Task<bool> BeginMoveAsync(CancellationToken cancellation)
    {
        // Begun before the write: its result may never become known here.
        Begun = true;
        return _tenure.ChangeAsync(
            r => r.State == OwnershipState.Running
                ? r with { State = OwnershipState.Moving, Target = _move.Target, Attempt = _move.Job, LastMove = _move }
                : null,
            cancellation);
    }

    public async Task<bool> AbandonMoveAsync(CancellationToken cancellation)
    {
        var back = await _tenure.ChangeAsync(
            r => r.State == OwnershipState.Moving
                ? r with { State = OwnershipState.Running, Target = null, Attempt = null }
                : null,
            cancellation);
        if (back)
        {
            Begun = false;
            _grant(_tenure);
        }

        return back;
    }

    public async Task<bool> ResolveMoveAsync(CancellationToken cancellation)
    {
        while (true)
        {
            // While it still says Moving, taking it back is a race that the compare-and-swap decides.
            if (_tenure.Record.State == OwnershipState.Moving && await AbandonMoveAsync(cancellation))
            {
                return false;
            }

            if (!_tenure.Lost && _tenure.Record.State == OwnershipState.Running)
            {
                _grant(_tenure);
                return false;
            }

            var record = await LeaseWatch.WaitForTargetAsync(_store, _time, _options, _tenure.Vm, _move.Job, cancellation);
            if (record is null || !LeaseWatch.Unconfirmed(record, _move.Job))
            {
                _tenure.GiveUp();
                return true;
            }

            // The target committed and died before it told anyone that it runs: nothing of it was seen.
            if (await _tenure.RetakeAsync(TakeBack, record, cancellation))
            {
                Begun = false;
                _grant(_tenure);
                return false;
            }
        }
    }

    private OwnershipRecord? TakeBack(OwnershipRecord r) => r with
    {
        State = OwnershipState.Running,
        Owner = _move.Source,
        OwnerName = _move.SourceName,
        Target = null,
        Attempt = null,
        Epoch = r.Epoch + 1,
        Renewals = 0,
        Lease = _options.Lease,
        Confirmed = true,
    };
}
