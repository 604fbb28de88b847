using Godwit.Grains.Ownership;
using Godwit.Silo.Checkpoints;

namespace Godwit.Silo.Machines;

/// <summary>What follows when a guest is over, whoever ended it: its console is kept, its memory freed, the record says so.</summary>
internal sealed partial class VmEndings
{
    private readonly Checkpointer _checkpointer;
    private readonly ILogger<VmEndings> _log;

    public VmEndings(Checkpointer checkpointer, ILogger<VmEndings> log)
    {
        _checkpointer = checkpointer;
        _log = log;
    }

    /// <summary>The machine says that it has ended.</summary>
    public async Task OnMachineEndedAsync(HostedVm vm, string reason, int? exitCode)
    {
        try
        {
            if (vm.Job is { Finished: false } job)
            {
                // What a migration makes of it comes first: the record may be the target's by then.
                await job.Completion;
            }

            await EndAsync(vm, reason, exitCode);
        }
        catch (Exception e)
        {
            // The edge of an event: the record stays Running until its lease runs out, which is safe.
            LogFailed(vm.Name, e.Message);
        }
    }

    /// <summary>
    /// Ends a machine that this silo owns, once. The record first says "stopped" when nothing of it runs any more; from
    /// then on its lease is no longer renewed.
    /// </summary>
    public async Task EndAsync(HostedVm vm, string reason, int? exitCode)
    {
        if (vm.Tenure is not { Lost: false } tenure || !vm.TryBeginEnding())
        {
            return;
        }

        await vm.Checkpoints.StopAsync();
        await vm.FinishAsync();
        var recorded = await tenure.ChangeAsync(
            r => r.State == OwnershipState.Stopped
                ? null
                : r with { State = OwnershipState.Stopped, Target = null, Attempt = null, Confirmed = true, Checkpoint = null, Reason = reason, ExitCode = exitCode },
            CancellationToken.None);
        if (recorded)
        {
            // A guest that has ended does not go on from a checkpoint.
            _checkpointer.Remove(vm.Name, tenure.Epoch, []);
        }

    }

    /// <summary>The VM has been deleted: whatever files are left of it go.</summary>
    public void ForgetCheckpoints(string vm) => _checkpointer.Remove(vm, long.MaxValue, []);

    [LoggerMessage(Level = LogLevel.Error, Message = "The end of VM {Vm} was not recorded: {Error}")]
    private partial void LogFailed(string vm, string error);
}
