using Godwit.Engine.Machine;
using Godwit.Grains.Ownership;
using Godwit.Silo.Machines;

namespace Godwit.Silo.Checkpoints;

/// <summary>
/// Takes one checkpoint of one VM: writes the file, has it on the disk, and then puts it into the ownership record. Only
/// what the record names counts, so a silo that has lost the VM meanwhile leaves nothing that anybody would use.
/// </summary>
internal sealed partial class Checkpointer
{
    /// <summary>Files that a restore has to read at most.</summary>
    private const int MaxFiles = 64;

    private readonly HostedVms _vms;
    private readonly ICheckpointStore _store;
    private readonly TimeProvider _time;
    private readonly ILogger<Checkpointer> _log;

    public Checkpointer(HostedVms vms, ICheckpointStore store, TimeProvider time, ILogger<Checkpointer> log)
    {
        _vms = vms;
        _store = store;
        _time = time;
        _log = log;
    }

    /// <summary>Takes one where the VM is here and at rest; never throws but on cancellation: the guest runs on whatever happens.</summary>
    public async Task TakeAsync(HostedVm vm, CancellationToken cancellation)
    {
        using var turn = await _vms.EnterAsync(vm.Name, cancellation, interrupt: false);
        if (vm.Ended || !vm.Serving || vm.MigrationUnderWay || vm.Tenure is not { Lost: false } tenure)
        {
            return;
        }

        using var attempt = vm.Checkpoints.Begin(cancellation);
        if (attempt is null)
        {
            return;
        }

        try
        {
            await TakeAsync(vm, tenure, attempt.Cancelled);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            // A command came first.
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or MachineException)
        {
            if (!vm.Ended && !vm.Gone.IsCancellationRequested && vm.Checkpoints.Fail(e.Message))
            {
                LogFailed(vm.Name, e.Message);
            }
        }
    }

    /// <summary>The policy is another now: the record names no checkpoint any more, and its files go.</summary>
    public async Task ForgetAsync(HostedVm vm, CancellationToken cancellation)
    {
        using var turn = await _vms.EnterAsync(vm.Name, cancellation, interrupt: false);
        if (vm.Tenure is { Lost: false } tenure
            && await tenure.ChangeAsync(r => r is { State: OwnershipState.Running, Checkpoint: not null } ? r with { Checkpoint = null } : null, cancellation))
        {
            vm.Checkpoints.Forget();
            Remove(vm.Name, tenure.Epoch, []);
        }
    }

    /// <summary>Where files cannot be removed they are left to the next time; that is no reason for anything else to fail.</summary>
    public void Remove(string vm, long epoch, IReadOnlyCollection<string> keep)
    {
        try
        {
            _store.Remove(vm, epoch, keep);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            LogLeft(vm, e.Message);
        }
    }

    private async Task TakeAsync(HostedVm vm, Tenure tenure, CancellationToken cancellation)
    {
        var status = await vm.Machine.GetStatusAsync(cancellation);
        var paused = status.Phase == MachinePhase.Paused;
        if (status.Phase != MachinePhase.Running && (!paused || (vm.Checkpoints.KeptPaused && vm.Checkpoints.Kept != 0)))
        {
            return;
        }

        var current = tenure.Record.Checkpoint;
        var number = Math.Max(vm.Checkpoints.Tried, current?.Number ?? 0) + 1;
        var continues = current is not null && current.Number == vm.Checkpoints.Kept && !IsLong(current, status.ResidentBytes);
        vm.Checkpoints.Tried = number;
        await using var file = _store.Create(vm.Name, tenure.Epoch, number, continues ? 0 : status.ResidentBytes);
        var report = await vm.Machine.CheckpointAsync(new Engine.Checkpoint.CheckpointRequest(number, vm.Checkpoints.Kept, !continues), file.Stream, cancellation);
        await file.CompleteAsync(cancellation);
        var mark = new CheckpointMark
        {
            Number = number,
            Epoch = tenure.Epoch,
            Store = _store.Id,
            Files = continues ? [.. current!.Files, file.Name] : [file.Name],
            Bytes = report.Bytes + (continues ? current!.Bytes : 0),
            Digest = report.Digest,
            Paused = paused,
            TakenAt = _time.GetUtcNow(),
        };
        if (!await tenure.ChangeAsync(r => r.State == OwnershipState.Running ? r with { Checkpoint = mark } : null, cancellation))
        {
            // On its way elsewhere, or another's: no record names the file.
            Remove(vm.Name, tenure.Epoch, [.. tenure.Record.Checkpoint?.Files ?? []]);
            return;
        }

        vm.Grant();
        vm.Checkpoints.Keep(report, paused);
        Remove(vm.Name, tenure.Epoch, [.. mark.Files]);
    }

    /// <summary>A chain is begun anew before it takes more of the disk than twice what the guest has touched.</summary>
    private static bool IsLong(CheckpointMark chain, long residentBytes) =>
        chain.Files.Count >= MaxFiles || chain.Bytes > 2 * Math.Max(residentBytes, 16 << 20);

    [LoggerMessage(Level = LogLevel.Warning, Message = "No checkpoint of VM {Vm}, which runs on: {Error}")]
    private partial void LogFailed(string vm, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Old checkpoint files of VM {Vm} were not removed: {Error}")]
    private partial void LogLeft(string vm, string error);
}
