using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Interfaces.Hosts;

/// <summary>
/// One silo's VM host; key: the silo's address with its generation. It lives on that silo and nowhere else: calls to a
/// silo that is gone fail instead of reaching another.
/// </summary>
[Alias("Godwit.IHostGrain")]
public interface IHostGrain : IGrainWithStringKey
{
    [Alias("GetInfo")]
    Task<HostInfo> GetInfo();

    /// <summary>Claims the VM by its ownership record, builds its machine and runs it. Waits for a dead owner's lease.</summary>
    [Alias("StartVm"), ResponseTimeout(CallLimits.Command)]
    Task StartVm(string vm);

    /// <summary>
    /// Takes over a VM whose owner's lease has run out under this version of its record, by its restart policy: from its
    /// checkpoint, or booting it again. Refused where the record has changed since.
    /// </summary>
    [Alias("RecoverVm"), ResponseTimeout(CallLimits.Bulk)]
    Task RecoverVm(string vm, string lapsedVersion);

    [Alias("PauseVm"), ResponseTimeout(CallLimits.Command)]
    Task PauseVm(string vm);

    [Alias("ResumeVm"), ResponseTimeout(CallLimits.Command)]
    Task ResumeVm(string vm);

    [Alias("StopVm"), ResponseTimeout(CallLimits.Command)]
    Task StopVm(string vm);

    /// <summary>Drops what is left of a VM that this host does not own (an ended machine with its console).</summary>
    [Alias("ForgetVm"), ResponseTimeout(CallLimits.Command)]
    Task ForgetVm(string vm);

    /// <summary>Null where this host does not hold it.</summary>
    [Alias("GetVm")]
    Task<HostedVmStatus?> GetVm(string vm);

    /// <summary>Console bytes from an offset on; waits up to <paramref name="wait"/> for the first and then answers with none.</summary>
    [Alias("ReadConsole"), ResponseTimeout(CallLimits.Watch)]
    Task<ConsoleSegment> ReadConsole(string vm, long offset, int maxBytes, TimeSpan wait);

    [Alias("WriteConsole"), ResponseTimeout(CallLimits.Command)]
    Task WriteConsole(string vm, byte[] input);

    [Alias("PrepareIncoming"), ResponseTimeout(CallLimits.Command)]
    Task<IncomingTicket> PrepareIncoming(IncomingRequest request);

    /// <summary>Whether this host still waits for, or receives, that attempt.</summary>
    [Alias("IsReceiving")]
    Task<bool> IsReceiving(string attempt);

    /// <summary>The source gives up an attempt that it has not sent.</summary>
    [Alias("CancelIncoming"), ResponseTimeout(CallLimits.Command)]
    Task CancelIncoming(string vm, string attempt);

    [Alias("StartMigration"), ResponseTimeout(CallLimits.Command)]
    Task<MigrationTicket> StartMigration(string vm, string targetAddress, MigrationRequest request);

    /// <summary>Steps after a sequence; waits up to <paramref name="wait"/> for one.</summary>
    [Alias("WatchMigration"), ResponseTimeout(CallLimits.Watch)]
    Task<MigrationUpdate> WatchMigration(string job, long afterSequence, TimeSpan wait);

    [Alias("CancelMigration"), ResponseTimeout(CallLimits.Command)]
    Task CancelMigration(string vm);

    [Alias("GetRuns")]
    Task<RunHistory> GetRuns(string vm);

    /// <summary>Writes a snapshot to a file of this host's and returns its id; read it in pieces, then close it.</summary>
    [Alias("OpenSnapshot"), ResponseTimeout(CallLimits.Bulk)]
    Task<string> OpenSnapshot(string vm);

    [Alias("ReadSnapshot")]
    Task<FilePiece> ReadSnapshot(string id, long offset, int maxBytes);

    [Alias("CloseFile"), ResponseTimeout(CallLimits.Command)]
    Task CloseFile(string id);

    [Alias("OpenUpload"), ResponseTimeout(CallLimits.Command)]
    Task<string> OpenUpload();

    [Alias("AppendUpload"), ResponseTimeout(CallLimits.Command)]
    Task AppendUpload(string id, long offset, byte[] bytes);

    /// <summary>Builds the VM's machine from an uploaded snapshot; it is paused. The upload is used up.</summary>
    [Alias("RestoreVm"), ResponseTimeout(CallLimits.Bulk)]
    Task RestoreVm(string vm, string uploadId);

    /// <summary>From now on takes no VMs, and moves those it has; where that is under way already, its ticket.</summary>
    [Alias("Drain")]
    Task<DrainTicket> Drain(DrainRequest request);

    /// <summary>Steps after a sequence; waits up to <paramref name="wait"/> for one.</summary>
    [Alias("WatchDrain"), ResponseTimeout(CallLimits.Watch)]
    Task<DrainUpdate> WatchDrain(string job, long afterSequence, TimeSpan wait);

    /// <summary>Takes VMs again; migrations that a drain has started go on.</summary>
    [Alias("Undrain")]
    Task Undrain();

    /// <summary>Asks the store whether it answers this silo.</summary>
    [Alias("ProbeStore")]
    Task<StoreHealth> ProbeStore();
}
