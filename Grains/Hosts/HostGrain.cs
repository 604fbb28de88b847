using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Placement;
using Orleans.Concurrency;
using Orleans.Runtime;

namespace Godwit.Grains.Hosts;

/// <summary>The way to a silo's VM host from anywhere in the cluster. Holds nothing.</summary>
[Reentrant, HostPlacement]
public sealed class HostGrain : Grain, IHostGrain
{
    private readonly IVmHost _host;
    private readonly ISiloDrain _drain;
    private readonly IStoreProbe _store;
    private readonly ILocalSiloDetails _silo;

    public HostGrain(IVmHost host, ISiloDrain drain, IStoreProbe store, ILocalSiloDetails silo)
    {
        _store = store;
        _host = host;
        _drain = drain;
        _silo = silo;
    }

    public override Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (this.GetPrimaryKeyString() != _silo.SiloAddress.ToParsableString())
        {
            throw new ClusterException(ClusterError.Unavailable, $"Silo {this.GetPrimaryKeyString()} is gone.");
        }

        return base.OnActivateAsync(cancellationToken);
    }

    public Task<HostInfo> GetInfo() => _host.GetInfoAsync();

    public Task StartVm(string vm) => _host.StartVmAsync(vm);

    public Task RecoverVm(string vm, string lapsedVersion) => _host.RecoverVmAsync(vm, lapsedVersion);

    public Task PauseVm(string vm) => _host.PauseVmAsync(vm);

    public Task ResumeVm(string vm) => _host.ResumeVmAsync(vm);

    public Task StopVm(string vm) => _host.StopVmAsync(vm);

    public Task ForgetVm(string vm) => _host.ForgetVmAsync(vm);

    public Task<HostedVmStatus?> GetVm(string vm) => _host.GetVmAsync(vm);

    public Task<ConsoleSegment> ReadConsole(string vm, long offset, int maxBytes, TimeSpan wait) => _host.ReadConsoleAsync(vm, offset, maxBytes, wait);

    public Task WriteConsole(string vm, byte[] input) => _host.WriteConsoleAsync(vm, input);

    public Task<IncomingTicket> PrepareIncoming(IncomingRequest request) => _host.PrepareIncomingAsync(request);

    public Task<bool> IsReceiving(string attempt) => _host.IsReceivingAsync(attempt);

    public Task CancelIncoming(string vm, string attempt) => _host.CancelIncomingAsync(vm, attempt);

    public Task<MigrationTicket> StartMigration(string vm, string targetAddress, MigrationRequest request) => _host.StartMigrationAsync(vm, targetAddress, request);

    public Task<MigrationUpdate> WatchMigration(string job, long afterSequence, TimeSpan wait) => _host.WatchMigrationAsync(job, afterSequence, wait);

    public Task CancelMigration(string vm) => _host.CancelMigrationAsync(vm);

    public Task<RunHistory> GetRuns(string vm) => _host.GetRunsAsync(vm);

    public Task<string> OpenSnapshot(string vm) => _host.OpenSnapshotAsync(vm);

    public Task<FilePiece> ReadSnapshot(string id, long offset, int maxBytes) => _host.ReadSnapshotAsync(id, offset, maxBytes);

    public Task CloseFile(string id) => _host.CloseFileAsync(id);

    public Task<string> OpenUpload() => _host.OpenUploadAsync();

    public Task AppendUpload(string id, long offset, byte[] bytes) => _host.AppendUploadAsync(id, offset, bytes);

    public Task RestoreVm(string vm, string uploadId) => _host.RestoreVmAsync(vm, uploadId);

    public Task<DrainTicket> Drain(DrainRequest request) => Task.FromResult(_drain.Start(request));

    public Task<DrainUpdate> WatchDrain(string job, long afterSequence, TimeSpan wait) => _drain.WatchAsync(job, afterSequence, wait);

    public Task<StoreHealth> ProbeStore() => _store.AskAsync();

    public Task Undrain()
    {
        _drain.Undrain();
        return Task.CompletedTask;
    }
}
