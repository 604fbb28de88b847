using Godwit.Grains.Ownership;
using Microsoft.Extensions.Options;

namespace Godwit.Silo.Machines;

/// <summary>
/// Renews the leases of this silo's VMs every third of a lease and passes each on to its machine. When the store does not
/// answer nothing is passed on, and the machines stop by themselves; a VM that another silo has taken is dropped.
/// </summary>
internal sealed partial class LeaseKeeper : BackgroundService
{
    private readonly HostedVms _vms;
    private readonly IOwnershipStore _store;
    private readonly OwnershipOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger<LeaseKeeper> _log;

    public LeaseKeeper(HostedVms vms, IOwnershipStore store, IOptions<OwnershipOptions> options, TimeProvider time, ILogger<LeaseKeeper> log)
    {
        _vms = vms;
        _store = store;
        _options = options.Value;
        _time = time;
        _log = log;
    }

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await _store.WarmUpAsync(cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(_options.Lease / 3, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                await Task.WhenAll(_vms.All.Select(vm => RenewAsync(vm, stoppingToken)));
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The silo goes down; its VM host stops the machines.
        }
    }

    private async Task RenewAsync(HostedVm vm, CancellationToken cancellation)
    {
        try
        {
            if (vm.Ended || vm.Tenure is not { } tenure)
            {
                return;
            }

            if (await RenewedAsync(vm, tenure, cancellation))
            {
                vm.Grant();
                return;
            }

            // During a migration the job finds out from the record who runs it; stopped VMs need no lease. A renewal that
            // was under way while a move ended finds the machine let go: nobody has taken anything from this silo then.
            if (tenure.Lost && !vm.MigrationUnderWay && !vm.Ended && !vm.Gone.IsCancellationRequested)
            {
                if (tenure.RecordGone)
                {
                    LogRecordGone(vm.Name, tenure.Epoch);
                }
                else
                {
                    LogFenced(vm.Name, tenure.Epoch);
                }

                await _vms.DropAsync(vm);
            }
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            // The edge of one renewal: the silo, and its other VMs, go on.
            LogFailed(vm.Name, e.Message);
        }
    }

    /// <summary>Whether the lease goes on. Says so where the answer does not come before the lease ends: the machine has stopped by itself then.</summary>
    private async Task<bool> RenewedAsync(HostedVm vm, Tenure tenure, CancellationToken cancellation)
    {
        var renewal = tenure.RenewAsync(cancellation);
        var left = _time.GetElapsedTime(_time.GetTimestamp(), tenure.LeaseEnds);
        try
        {
            return await renewal.WaitAsync(left > TimeSpan.Zero ? left : _options.Lease, _time, cancellation);
        }
        catch (TimeoutException)
        {
            LogLapsed(vm.Name, tenure.Epoch);
        }

        var renewed = await renewal;
        if (renewed)
        {
            LogAnswered(vm.Name, tenure.Epoch);
        }

        return renewed;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "VM {Vm} stands still: its lease (epoch {Epoch}) has ended, and the store has not answered.")]
    private partial void LogLapsed(string vm, long epoch);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The store answers again: VM {Vm} goes on (epoch {Epoch}).")]
    private partial void LogAnswered(string vm, long epoch);

    [LoggerMessage(Level = LogLevel.Warning, Message = "VM {Vm} was taken over by another silo; its copy here (epoch {Epoch}) is dropped.")]
    private partial void LogFenced(string vm, long epoch);

    [LoggerMessage(Level = LogLevel.Error, Message = "The store has no record of VM {Vm} any more: it has lost its data, or the VM was deleted by force; the copy here (epoch {Epoch}) is dropped.")]
    private partial void LogRecordGone(string vm, long epoch);

    [LoggerMessage(Level = LogLevel.Error, Message = "The lease of VM {Vm} was not renewed: {Error}")]
    private partial void LogFailed(string vm, string error);
}
