using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Grains.Hosts;

/// <summary>
/// The silo-resident owner of machines; see IHostGrain for what each call does. Its work runs outside the grain
/// scheduler and goes on when the grains are gone.
/// </summary>
public interface IVmHost
{
    Task<HostInfo> GetInfoAsync();

    Task StartVmAsync(string vm);

    Task RecoverVmAsync(string vm, string lapsedVersion);

    Task PauseVmAsync(string vm);

    Task ResumeVmAsync(string vm);

    Task StopVmAsync(string vm);

    Task ForgetVmAsync(string vm);

    Task<HostedVmStatus?> GetVmAsync(string vm);

    Task<ConsoleSegment> ReadConsoleAsync(string vm, long offset, int maxBytes, TimeSpan wait);

    Task WriteConsoleAsync(string vm, byte[] input);

    Task<IncomingTicket> PrepareIncomingAsync(IncomingRequest request);

    Task<bool> IsReceivingAsync(string attempt);

    Task CancelIncomingAsync(string vm, string attempt);

    Task<MigrationTicket> StartMigrationAsync(string vm, string targetAddress, MigrationRequest request);

    Task<MigrationUpdate> WatchMigrationAsync(string job, long afterSequence, TimeSpan wait);

    Task CancelMigrationAsync(string vm);

    Task<RunHistory> GetRunsAsync(string vm);

    Task<string> OpenSnapshotAsync(string vm);

    Task<FilePiece> ReadSnapshotAsync(string id, long offset, int maxBytes);

    Task CloseFileAsync(string id);

    Task<string> OpenUploadAsync();

    Task AppendUploadAsync(string id, long offset, byte[] bytes);

    Task RestoreVmAsync(string vm, string uploadId);
}
