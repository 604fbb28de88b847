namespace Godwit.Engine.Migration;

/// <summary>
/// Who may run the VM, as the engine knows it: each call is one compare-and-swap on the VM's ownership record. A call
/// whose result is unknown is asked again by the implementation until it is known (or cancelled); nobody runs meanwhile.
/// </summary>
public interface IMigrationSourceAuthority
{
    /// <summary>Running(A, e) to Moving(A to B, attempt, e). False: the record was not ours; the source must not run on.</summary>
    Task<bool> BeginMoveAsync(CancellationToken cancellation);

    /// <summary>
    /// Moving back to Running(A, e): the only way the source may resume. True also where the record already is
    /// Running(A, e), as after a BeginMove whose result was not learned. False: the target has already committed. Asked
    /// once more after the target reported running, so that the record is believed and not the stream.
    /// </summary>
    Task<bool> AbandonMoveAsync(CancellationToken cancellation);

    /// <summary>After a lost link: waits until the record shows who runs. True: the target does and this copy must go; false: the source took it back and may resume.</summary>
    Task<bool> ResolveMoveAsync(CancellationToken cancellation);
}

/// <summary>The target's side of the record.</summary>
public interface IMigrationTargetAuthority
{
    /// <summary>Moving(A to B, attempt, e) to Running(B, e+1). Returns the new epoch; null: the source took it back, this copy must go.</summary>
    Task<long?> CommitMoveAsync(CancellationToken cancellation);
}
