using Godwit.Grains.Ownership;

namespace Godwit.Silo.Machines;

/// <summary>Writes into the record that a guest is over, whoever ended it.</summary>
internal sealed partial class VmEndings
{
    private readonly ILogger<VmEndings> _log;

    public VmEndings(ILogger<VmEndings> log) => _log = log;

    /// <summary>The machine has ended or is about to be dropped: after this nobody runs the VM, and its lease is no longer renewed.</summary>
    public async Task RecordAsync(HostedVm vm, string reason, int? exitCode)
    {
        try
        {
            if (vm.Job is { Finished: false } job)
            {
                // What a migration makes of it comes first: the record may be the target's by then.
                await job.Completion;
            }

            vm.MarkEnded();
            if (vm.Tenure is not { Lost: false } tenure)
            {
                return;
            }

            await tenure.ChangeAsync(
                r => r.State == OwnershipState.Stopped
                    ? null
                    : r with { State = OwnershipState.Stopped, Target = null, Attempt = null, Confirmed = true, Reason = vm.StopReason ?? reason, ExitCode = exitCode },
                CancellationToken.None);
        }
        catch (Exception e)
        {
            // The edge of an event: the record stays Running until its lease runs out, which is safe.
            LogFailed(vm.Name, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The end of VM {Vm} was not recorded: {Error}")]
    private partial void LogFailed(string vm, string error);
}
