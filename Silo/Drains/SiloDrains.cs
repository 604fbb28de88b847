using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Silo.Machines;
using Godwit.Silo.Migrations;

namespace Godwit.Silo.Drains;

/// <summary>This silo's drain: the one under way, or the latest.</summary>
internal sealed partial class SiloDrains : ISiloDrain, IHostedService, IDisposable
{
    private readonly Lock _lock = new();
    private readonly HostedVms _vms;
    private readonly Admission _admission;
    private readonly IncomingMigrations _incoming;
    private readonly OutgoingMigrations _outgoing;
    private readonly SiloDirectory _silos;
    private readonly MoveSlots _slots;
    private readonly SiloIdentity _silo;
    private readonly TimeProvider _time;
    private readonly ILogger<SiloDrains> _log;
    private CancellationTokenSource _stop = new();
    private DrainJob? _job;
    private bool _leaving;

    public SiloDrains(HostedVms vms, Admission admission, IncomingMigrations incoming, OutgoingMigrations outgoing, SiloDirectory silos, MoveSlots slots, SiloIdentity silo, TimeProvider time, ILogger<SiloDrains> log)
    {
        _vms = vms;
        _admission = admission;
        _incoming = incoming;
        _outgoing = outgoing;
        _silos = silos;
        _slots = slots;
        _silo = silo;
        _time = time;
        _log = log;
    }

    /// <summary>VMs that this silo runs.</summary>
    public int Guests => _vms.All.Count(v => !v.Ended);

    /// <summary>No other silo is alive.</summary>
    public bool Alone => _silos.Live().All(s => s.Address == _silo.Address);

    public DrainTicket Start(DrainRequest request)
    {
        if (request.PerSilo is < 1 or > DrainRequest.MaxMoves || request.PerCluster is < 1 or > DrainRequest.MaxMoves)
        {
            throw new ClusterException(ClusterError.Invalid, $"A drain moves 1 to {DrainRequest.MaxMoves} VMs at a time.");
        }

        lock (_lock)
        {
            if (_job is { UnderWay: true } current)
            {
                return current.Ticket;
            }

            _admission.Set(open: false);
            var job = new DrainJob(new DrainTicket { Job = Guid.NewGuid().ToString("N"), SiloAddress = _silo.Address, SiloName = _silo.Name }, _time);
            _job = job;
            _stop.Dispose();
            _stop = new CancellationTokenSource();
            var stop = _stop.Token;

            // Its own task, tied to nobody's call.
            _ = Task.Run(() => RunAsync(job, request, stop), CancellationToken.None);
            return job.Ticket;
        }
    }

    public Task<DrainUpdate> WatchAsync(string job, long afterSequence, TimeSpan wait)
    {
        DrainJob? found;
        lock (_lock)
        {
            found = _job;
        }

        return found?.Ticket.Job == job
            ? found.WatchAsync(afterSequence, wait < CallLimits.WatchWait ? wait : CallLimits.WatchWait)
            : throw new ClusterException(ClusterError.NotFound, $"Silo {_silo.Name} knows no drain {job}.");
    }

    public void Undrain()
    {
        lock (_lock)
        {
            if (_leaving)
            {
                throw new ClusterException(ClusterError.Unavailable, $"Silo {_silo.Name} is shutting down.");
            }

            if (_admission.Duty == HostDuty.Serving)
            {
                throw new ClusterException(ClusterError.WrongState, $"Silo {_silo.Name} is not drained: it takes VMs.");
            }

            _stop.Cancel();
            _admission.Set(open: true);
        }
    }

    /// <summary>Drains for good: the process ends afterwards. Cancelling gives the rest up.</summary>
    public async Task LeaveAsync(Action<DrainStep> report, CancellationToken cancellation)
    {
        DrainTicket ticket;
        lock (_lock)
        {
            _leaving = true;
            ticket = Start(new DrainRequest());
        }

        long after = 0;
        DrainUpdate update;
        do
        {
            update = await WatchAsync(ticket.Job, after, CallLimits.WatchWait).WaitAsync(cancellation);
            foreach (var step in update.Steps)
            {
                report(step);
                after = step.Sequence;
            }
        }
        while (update.Outcome == DrainOutcome.UnderWay);
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>The silo goes down: nothing more comes or is sent away.</summary>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            _leaving = true;
            _admission.Set(open: false);
            _stop.Cancel();
        }

        return Task.CompletedTask;
    }

    public void Dispose() => _stop.Dispose();

    private async Task RunAsync(DrainJob job, DrainRequest request, CancellationToken stop)
    {
        try
        {
            await new DrainRun(job, request, _vms, _admission, _incoming, _outgoing, _silos, _slots, _silo).RunAsync(stop);
            job.End(cancelled: false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            job.End(cancelled: true);
        }
        catch (Exception e)
        {
            // The edge of a job: nobody awaits it.
            LogBroken(e);
            job.End(cancelled: true);
        }
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The drain of this silo broke")]
    private partial void LogBroken(Exception exception);
}
