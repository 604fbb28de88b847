using Godwit.Engine.Machine;
using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Silo.Checkpoints;
using Godwit.Silo.DataPlane;
using Godwit.Silo.Failover;
using Godwit.Silo.Migrations;

namespace Godwit.Silo.Machines;

/// <summary>This silo's machines, for the grains: checks that a command fits, carries it out, puts refusals into one line.</summary>
internal sealed partial class VmHost : IVmHost, IHostedService, IDisposable
{
    private const int MaxConsoleRead = 256 * 1024;
    private const int MaxConsoleWrite = 64 * 1024;

    private readonly HostedVms _vms;
    private readonly VmLifecycle _lifecycle;
    private readonly OutgoingMigrations _outgoing;
    private readonly IncomingMigrations _incoming;
    private readonly Admission _admission;
    private readonly TransferFiles _files;
    private readonly DataPlaneAddress _dataPlane;
    private readonly ICheckpointStore _checkpoints;
    private readonly RecoveryTroubles _troubles;
    private readonly SiloIdentity _silo;
    private readonly ILogger<VmHost> _log;
    private readonly CancellationTokenSource _closing = new();

    public VmHost(HostedVms vms, VmLifecycle lifecycle, OutgoingMigrations outgoing, IncomingMigrations incoming, Admission admission, TransferFiles files, DataPlaneAddress dataPlane, ICheckpointStore checkpoints, RecoveryTroubles troubles, SiloIdentity silo, ILogger<VmHost> log)
    {
        _vms = vms;
        _lifecycle = lifecycle;
        _outgoing = outgoing;
        _incoming = incoming;
        _admission = admission;
        _files = files;
        _dataPlane = dataPlane;
        _checkpoints = checkpoints;
        _troubles = troubles;
        _silo = silo;
        _log = log;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>The silo goes down in good order: its guests are stopped and their records say so.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _closing.CancelAsync();
        await _outgoing.CloseAsync();
        await _incoming.CloseAsync();
        foreach (var vm in _vms.All)
        {
            try
            {
                if (!vm.Ended && vm.Serving)
                {
                    await _lifecycle.StopAsync(vm.Name, $"silo {_silo.Name} was shut down", cancellationToken);
                }

                await _vms.DropAsync(vm);
            }
            catch (Exception e)
            {
                // The edge of the shutdown: one machine's failure must not keep the others.
                LogNotStopped(vm.Name, e.Message);
            }
        }
    }

    public void Dispose() => _closing.Dispose();

    public async Task<HostInfo> GetInfoAsync() => new()
    {
        Name = _silo.Name,
        Address = _silo.Address,
        DataEndpoint = _dataPlane.Find() ?? "",
        MemoryCapacity = _vms.Capacity.MemoryCapacity,
        MemoryReserved = _vms.Capacity.MemoryReserved,
        Vms = await Task.WhenAll(_vms.All.OrderBy(v => v.Name, StringComparer.Ordinal).Select(DescribeAsync)),
        ProcessId = Environment.ProcessId,
        Duty = _admission.Duty,
        Leaving = [.. _vms.All.Where(v => v.MigrationUnderWay).Select(v => v.Name)],
        Offer = _vms.Capacity.Offer(),
        Protocol = _silo.Protocol,
        Reserved = _vms.Capacity.Names(),
        Checkpoints = _checkpoints.Id,
        Unrecovered = _troubles.All,
        Migrations = [.. _vms.All.Where(v => v.MigrationUnderWay).Select(v => v.Job!.Ticket)],
    };

    public Task StartVmAsync(string vm) => Refusable(vm, () => _lifecycle.StartAsync(vm, _closing.Token));

    public Task RecoverVmAsync(string vm, string lapsedVersion) => Refusable(vm, () => _lifecycle.RecoverAsync(vm, lapsedVersion, _closing.Token));

    public Task PauseVmAsync(string vm) => OnIdleMachine(vm, v => v.Machine.PauseAsync(_closing.Token));

    public Task ResumeVmAsync(string vm) => OnIdleMachine(vm, v =>
    {
        v.Grant();
        return v.Machine.RunAsync(_closing.Token);
    });

    public Task StopVmAsync(string vm) => Refusable(vm, () => _lifecycle.StopAsync(vm, "stopped by command", _closing.Token));

    public Task ForgetVmAsync(string vm) => _lifecycle.ForgetAsync(vm, _closing.Token);

    public async Task<HostedVmStatus?> GetVmAsync(string vm)
    {
        if (_vms.Find(vm) is null)
        {
            return null;
        }

        var hosted = await _vms.RequireAsync(vm);
        var status = await StatusAsync(hosted);
        return status is null ? null : new HostedVmStatus
        {
            Paused = status.Phase == MachinePhase.Paused,
            Figures = new VmFigures
            {
                ResidentBytes = status.ResidentBytes,
                ConsoleEnd = status.ConsoleEnd,
                RetiredInstructions = status.RetiredInstructions,
                GuestNanoseconds = status.GuestNanoseconds,
            },
            Migration = hosted.Job?.Ticket,
            MigrationUnderWay = hosted.MigrationUnderWay,
            Checkpoints = hosted.Checkpoints.Figures,
        };
    }

    public async Task<ConsoleSegment> ReadConsoleAsync(string vm, long offset, int maxBytes, TimeSpan wait)
    {
        var hosted = await _vms.RequireAsync(vm);
        if (offset < 0 || maxBytes <= 0)
        {
            throw new ClusterException(ClusterError.Invalid, "A console is read from an offset of at least 0, at least one byte.");
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(hosted.Gone, _closing.Token);
        // A reader beyond the end has read on from where the guest went back to a checkpoint: it must hear of that.
        var ahead = await StatusAsync(hosted) is { } status && offset > status.ConsoleEnd;
        limit.CancelAfter(ahead ? TimeSpan.Zero : wait < CallLimits.WatchWait ? wait : CallLimits.WatchWait);
        var tenure = hosted.Tenure!.Record;
        ConsoleChunk chunk;
        try
        {
            chunk = await hosted.ReadConsoleAsync(offset, Math.Min(maxBytes, MaxConsoleRead), limit.Token);
        }
        catch (OperationCanceledException) when (!hosted.Gone.IsCancellationRequested)
        {
            // Nothing came in time.
            chunk = new ConsoleChunk(offset, [], Ended: false);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            throw new ClusterException(ClusterError.Moved, $"VM \"{vm}\" has left silo {_silo.Name}.");
        }

        if (chunk.Ended && (hosted.Gone.IsCancellationRequested || hosted.Tenure.Lost))
        {
            // This copy is over, not the guest.
            throw new ClusterException(ClusterError.Moved, $"VM \"{vm}\" has left silo {_silo.Name}.");
        }

        return new ConsoleSegment { BootEpoch = tenure.BootEpoch, Epoch = tenure.Epoch, Offset = chunk.Offset, Bytes = chunk.Bytes, Ended = chunk.Ended, Rollbacks = tenure.Rollbacks ?? [] };
    }

    public Task WriteConsoleAsync(string vm, byte[] input) => Refusable(vm, async () =>
    {
        if (input.Length > MaxConsoleWrite)
        {
            throw new ClusterException(ClusterError.Invalid, $"At most {MaxConsoleWrite} bytes can be typed at once.");
        }

        await (await _vms.RequireAsync(vm)).WriteConsoleAsync(input);
    });

    public Task<IncomingTicket> PrepareIncomingAsync(IncomingRequest request)
    {
        if (_dataPlane.Find() is not { } endpoint || _closing.IsCancellationRequested)
        {
            throw new ClusterException(ClusterError.Unavailable, $"Silo {_silo.Name} is {(_closing.IsCancellationRequested ? "shutting down" : "still starting")}.");
        }

        if (!request.Protocol.FitsWith(_silo.Protocol))
        {
            throw new ClusterException(ClusterError.Unavailable, $"Silo {_silo.Name} understands protocol {_silo.Protocol} and silo {request.SourceName} {request.Protocol}: VM \"{request.Vm}\" cannot move between them.");
        }

        return PrepareAsync();

        async Task<IncomingTicket> PrepareAsync()
        {
            using var entry = _admission.Admit();
            if (_vms.Find(request.Vm) is { Ended: true } ended)
            {
                await _vms.DropAsync(ended);
            }

            if (_vms.Find(request.Vm) is not null)
            {
                throw new ClusterException(ClusterError.WrongState, $"Silo {_silo.Name} holds a machine of VM \"{request.Vm}\" already.");
            }

            _incoming.Expect(request);
            return new IncomingTicket { DataEndpoint = endpoint, TargetName = _silo.Name };
        }
    }

    public Task<bool> IsReceivingAsync(string attempt) => Task.FromResult(_incoming.IsReceiving(attempt));

    public Task CancelIncomingAsync(string vm, string attempt)
    {
        _incoming.Cancel(attempt);
        return Task.CompletedTask;
    }

    public Task<MigrationTicket> StartMigrationAsync(string vm, string targetAddress, MigrationRequest request) =>
        Refusable(vm, () => _outgoing.StartAsync(vm, targetAddress, request, _closing.Token));

    public Task<MigrationUpdate> WatchMigrationAsync(string job, long afterSequence, TimeSpan wait) =>
        _outgoing.Require(job).WatchAsync(afterSequence, wait < CallLimits.WatchWait ? wait : CallLimits.WatchWait);

    public async Task CancelMigrationAsync(string vm)
    {
        if (await _vms.RequireAsync(vm) is not { MigrationUnderWay: true } hosted)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{vm}\" is not migrating.");
        }

        hosted.Job!.Cancel();
    }

    public Task<RunHistory> GetRunsAsync(string vm) => Task.FromResult(_vms.HistoryOf(vm));

    public async Task<string> OpenSnapshotAsync(string vm)
    {
        var file = TransferFiles.Create();
        try
        {
            await OnIdleMachine(vm, v => v.Machine.SnapshotAsync(file, _closing.Token));
            await file.FlushAsync(_closing.Token);
            return _files.Add(file);
        }
        catch
        {
            await file.DisposeAsync();
            throw;
        }
    }

    public Task<FilePiece> ReadSnapshotAsync(string id, long offset, int maxBytes) => _files.ReadAsync(id, offset, maxBytes);

    public Task CloseFileAsync(string id)
    {
        _files.Close(id);
        return Task.CompletedTask;
    }

    public Task<string> OpenUploadAsync() => Task.FromResult(_files.Add(TransferFiles.Create()));

    public Task AppendUploadAsync(string id, long offset, byte[] bytes) => _files.AppendAsync(id, offset, bytes);

    public Task RestoreVmAsync(string vm, string uploadId) =>
        Refusable(vm, () => _lifecycle.RestoreAsync(vm, _files.Take(uploadId), _closing.Token));

    private static async Task<MachineStatus?> StatusAsync(HostedVm vm)
    {
        try
        {
            return await vm.Machine.GetStatusAsync(vm.Gone);
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or MachineException)
        {
            return null;
        }
    }

    private static async Task<HostedVmInfo> DescribeAsync(HostedVm vm)
    {
        var status = await StatusAsync(vm);
        return new HostedVmInfo
        {
            Name = vm.Name,
            Phase = vm.Serving ? status?.Phase.ToString() ?? "Leaving" : "Incoming",
            Epoch = vm.Tenure?.Epoch ?? 0,
            MemoryBytes = vm.Definition.MemoryBytes,
            ResidentBytes = status?.ResidentBytes ?? 0,
            Vcpus = vm.Definition.VcpuCount,
            CpuLevel = vm.Definition.CpuLevel,
            Load = vm.Load,
            Constraints = vm.Definition.Constraints,
        };
    }

    /// <summary>A command on a machine that is not on its way elsewhere.</summary>
    private Task<bool> OnIdleMachine(string vm, Func<HostedVm, Task> command) => Refusable(vm, async () =>
    {
        using var turn = await _vms.EnterAsync(vm, _closing.Token);
        var hosted = await _vms.RequireAsync(vm);
        if (hosted.MigrationUnderWay)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{vm}\" is migrating to {hosted.Job!.Ticket.TargetName}; wait for it or cancel it first.");
        }

        await command(hosted);
    });

    private Task<bool> Refusable(string vm, Func<Task> work) => Refusable(vm, async () =>
    {
        await work();
        return true;
    });

    /// <summary>Engine errors, as the one line a caller may see; and never on the grain scheduler.</summary>
    private async Task<T> Refusable<T>(string vm, Func<Task<T>> work)
    {
        try
        {
            return await Task.Run(work);
        }
        catch (Exception e) when (e is MachineException)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{vm}\": {e.Message}");
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            throw _closing.IsCancellationRequested
                ? new ClusterException(ClusterError.Unavailable, $"Silo {_silo.Name} is shutting down.")
                : new ClusterException(ClusterError.Moved, $"VM \"{vm}\" has left silo {_silo.Name}.");
        }
        catch (Exception e) when (e is not ClusterException)
        {
            LogUnexpected(vm, e);
            throw new ClusterException(ClusterError.Failed, $"VM \"{vm}\": {e.Message}");
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "VM {Vm} was not stopped in order: {Error}")]
    private partial void LogNotStopped(string vm, string error);

    [LoggerMessage(Level = LogLevel.Error, Message = "A command on VM {Vm} failed")]
    private partial void LogUnexpected(string vm, Exception exception);
}
