using System.Collections.Concurrent;
using Godwit.Engine.Machine;
using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Silo.Machines;

namespace Godwit.Silo.Migrations;

/// <summary>The migrations that this silo owns as jobs: those under way and the latest that ended.</summary>
internal sealed partial class OutgoingMigrations : IDisposable
{
    private const int KeptJobs = 256;
    private static readonly TimeSpan _prepareLimit = TimeSpan.FromSeconds(10);

    private readonly ConcurrentDictionary<string, MigrationJob> _jobs = new();
    private readonly ConcurrentQueue<string> _order = new();
    private readonly ConcurrentDictionary<string, Task> _running = new();
    private readonly CancellationTokenSource _closing = new();
    private readonly HostedVms _vms;
    private readonly MigrationSource _source;
    private readonly SiloDirectory _silos;
    private readonly IGrainFactory _grains;
    private readonly SiloIdentity _silo;
    private readonly TimeProvider _time;
    private readonly ILogger<OutgoingMigrations> _log;

    public OutgoingMigrations(HostedVms vms, MigrationSource source, SiloDirectory silos, IGrainFactory grains, SiloIdentity silo, TimeProvider time, ILogger<OutgoingMigrations> log)
    {
        _vms = vms;
        _source = source;
        _silos = silos;
        _grains = grains;
        _silo = silo;
        _time = time;
        _log = log;
    }

    /// <summary>Refuses at once what cannot be; otherwise starts the job and returns its ticket.</summary>
    public async Task<MigrationTicket> StartAsync(string name, string targetAddress, MigrationRequest request, CancellationToken cancellation)
    {
        using var turn = await _vms.EnterAsync(name, cancellation);
        var vm = await _vms.RequireAsync(name);
        if (vm.MigrationUnderWay)
        {
            throw new ClusterException(ClusterError.WrongState, $"VM \"{name}\" is moving already, to silo {vm.Job!.Ticket.TargetName}; wait for it or cancel it.");
        }

        if (targetAddress == _silo.Address)
        {
            throw new ClusterException(ClusterError.Invalid, $"VM \"{name}\" is on silo {_silo.Name} already.");
        }

        var phase = vm.Ended ? MachinePhase.Ended : (await vm.Machine.GetStatusAsync(cancellation)).Phase;
        if (phase != MachinePhase.Running)
        {
            throw new ClusterException(ClusterError.WrongState, phase == MachinePhase.Paused
                ? $"VM \"{name}\" is paused; resume it first, since only a running VM can migrate."
                : $"VM \"{name}\" is stopped; only a running VM can migrate.");
        }

        var target = _silos.Require(targetAddress);
        var job = Guid.NewGuid().ToString("N");
        var incoming = await PrepareAsync(target, new IncomingRequest
        {
            Vm = name,
            Attempt = job,
            SourceAddress = _silo.Address,
            SourceName = _silo.Name,
            Definition = vm.Definition,
            Load = vm.Load,
            Protocol = _silo.Protocol,
        });
        var ticket = new MigrationTicket
        {
            Job = job,
            Vm = name,
            SourceAddress = _silo.Address,
            SourceName = _silo.Name,
            TargetAddress = target.Address,
            TargetName = incoming.TargetName,
        };
        Launch(vm, ticket, incoming.DataEndpoint, request);
        return ticket;
    }

    public MigrationJob Require(string job) =>
        _jobs.TryGetValue(job, out var found) ? found : throw new ClusterException(ClusterError.NotFound, $"Silo {_silo.Name} knows no migration {job}.");

    /// <summary>The silo goes down: migrations before their commit end, the others are waited for.</summary>
    public async Task CloseAsync()
    {
        await _closing.CancelAsync();
        await Task.WhenAll(_running.Values);
    }

    public void Dispose() => _closing.Dispose();

    private async Task<IncomingTicket> PrepareAsync(SiloRef target, IncomingRequest request)
    {
        try
        {
            return await _grains.GetGrain<IHostGrain>(target.Address).PrepareIncoming(request).WaitAsync(_prepareLimit);
        }
        catch (Exception e) when (e is TimeoutException or OrleansException)
        {
            throw new ClusterException(ClusterError.Unavailable, $"Silo {target.Name} does not answer; VM \"{request.Vm}\" stays on silo {_silo.Name}.");
        }
    }

    private void Launch(HostedVm vm, MigrationTicket ticket, string dataEndpoint, MigrationRequest request)
    {
        var job = new MigrationJob(ticket, _time);
        vm.Job = job;
        _jobs[ticket.Job] = job;
        _order.Enqueue(ticket.Job);
        while (_order.Count > KeptJobs && _order.TryDequeue(out var oldest))
        {
            if (_jobs.TryRemove(oldest, out var old) && !old.Finished)
            {
                _jobs[oldest] = old;
                _order.Enqueue(oldest);
            }
        }

        // Its own task, tied to nobody's call.
        var run = Task.Run(() => RunAsync(vm, job, dataEndpoint, request));
        _running[ticket.Job] = run;
        _ = run.ContinueWith(_ => _running.TryRemove(ticket.Job, out var _), CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
    }

    private async Task RunAsync(HostedVm vm, MigrationJob job, string dataEndpoint, MigrationRequest request)
    {
        try
        {
            await _source.RunAsync(vm, job, dataEndpoint, request, () => _vms.DropAsync(vm), _closing.Token);
        }
        catch (Exception e)
        {
            // The edge of a job: nobody awaits it.
            LogBroken(vm.Name, e);
            job.Fail(MigrationOutcome.Failed, e.Message);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The migration of VM {Vm} broke")]
    private partial void LogBroken(string vm, Exception exception);
}
