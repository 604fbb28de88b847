using System.Collections.Concurrent;
using System.IO.Hashing;
using System.Text;
using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;
using Godwit.Grains.Placement;
using Godwit.Silo.Machines;
using Microsoft.Extensions.Options;

namespace Godwit.Silo.Failover;

/// <summary>
/// Watches the leases of other silos' VMs and brings up again, by their restart policies, those whose lease has run out.
/// Two silos watch each VM, chosen by its name among those that live, so that no silo's death leaves one unwatched; the
/// second acts some time after the first. None of them decides anything: the compare-and-swap of the taker does.
/// </summary>
internal sealed partial class LeaseReaper : BackgroundService
{
    private const int Watchers = 2;
    private const int AtOnce = 4;

    private static readonly TimeSpan _secondWaits = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan _again = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, long> _under = new();
    private readonly ConcurrentDictionary<string, string> _told = new();
    private readonly RecoveryTroubles _troubles;
    private readonly ConcurrentDictionary<string, (VmDemand Vm, string Address)> _sent = new();
    private readonly SemaphoreSlim _slots = new(AtOnce);
    private readonly IOwnershipStore _store;
    private readonly SiloDirectory _silos;
    private readonly IGrainFactory _grains;
    private readonly SiloIdentity _silo;
    private readonly OwnershipOptions _ownership;
    private readonly TimeProvider _time;
    private readonly ILogger<LeaseReaper> _log;

    public LeaseReaper(IOwnershipStore store, SiloDirectory silos, IGrainFactory grains, SiloIdentity silo, IOptions<OwnershipOptions> ownership, RecoveryTroubles troubles, TimeProvider time, ILogger<LeaseReaper> log)
    {
        _troubles = troubles;
        _store = store;
        _silos = silos;
        _grains = grains;
        _silo = silo;
        _ownership = ownership.Value;
        _time = time;
        _log = log;
    }

    public override void Dispose()
    {
        _slots.Dispose();
        base.Dispose();
    }

    /// <summary>Place of a silo among those that watch a VM, from 0; all silos with the same members agree.</summary>
    internal static int RankOf(string silo, string vm, IEnumerable<string> live) =>
        live.OrderBy(s => XxHash64.HashToUInt64(Encoding.UTF8.GetBytes($"{vm} {s}"))).ThenBy(s => s, StringComparer.Ordinal).TakeWhile(s => s != silo).Count();

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var watch = new LapseWatch(_time, _ownership);
        using var timer = new PeriodicTimer(LapseWatch.Interval(_ownership), _time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                await LookAsync(watch, stoppingToken);
            }
        }
        catch (OperationCanceledException)
        {
            // The silo goes down.
        }
    }

    private async Task LookAsync(LapseWatch watch, CancellationToken cancellation)
    {
        try
        {
            var asked = _time.GetTimestamp();
            var names = await _store.ListAsync(cancellation);
            var records = await Task.WhenAll(names.Select(vm => ReadAsync(vm, cancellation)));
            var lapsed = watch.Look(asked, [.. records.Where(r => IsWatched(r.Vm, r.Record)).Select(r => (r.Vm, r.Record!))]);
            foreach (var over in _troubles.All.Keys.Except(lapsed.Select(l => l.Vm)))
            {
                _troubles.Forget(over);
            }

            foreach (var (vm, record, overdue) in lapsed)
            {
                if (overdue >= Patience(vm, record) && MayTry(vm))
                {
                    _ = RecoverAsync(vm, record, cancellation);
                }
            }
        }
        catch (Exception e) when (!cancellation.IsCancellationRequested)
        {
            // The edge of a look; the next comes in a moment.
            TellLook("", e);
        }
    }

    /// <summary>No record where it cannot be read: the others are looked at all the same.</summary>
    private async Task<(string Vm, OwnershipRecord? Record)> ReadAsync(string vm, CancellationToken cancellation)
    {
        try
        {
            return (vm, await _store.ReadAsync(vm, cancellation));
        }
        catch (InvalidDataException e)
        {
            TellLook(vm, e);
            return (vm, null);
        }
    }

    private void TellLook(string vm, Exception e)
    {
        if (IsNews(vm, e.Message))
        {
            LogLook(e.Message);
        }
    }

    private bool IsWatched(string vm, OwnershipRecord? record) =>
        record is not null && record.State != OwnershipState.Stopped && record.Owner != _silo.Address && Rank(vm, record) < Watchers;

    private int Rank(string vm, OwnershipRecord record) => RankOf(_silo.Address, vm, _silos.Live().Select(s => s.Address).Where(s => s != record.Owner));

    /// <summary>What a VM's watcher lets pass beyond lease and margin.</summary>
    private TimeSpan Patience(string vm, OwnershipRecord record)
    {
        var turn = _secondWaits * Rank(vm, record);

        // A target that died before it reported: the source has the guest as it was, which is better than a checkpoint.
        var source = !record.Confirmed && _silos.IsAlive(record.LastMove?.Source);
        return source ? turn + _ownership.Lease + _ownership.Margin : turn;
    }

    private bool MayTry(string vm)
    {
        var now = _time.GetTimestamp();
        if (_under.TryGetValue(vm, out var next) && now < next)
        {
            return false;
        }

        _under[vm] = long.MaxValue;
        return true;
    }

    private async Task RecoverAsync(string vm, OwnershipRecord record, CancellationToken cancellation)
    {
        try
        {
            await _slots.WaitAsync(cancellation);
            try
            {
                await TryRecoverAsync(vm, record, cancellation);
                _troubles.Forget(vm);
            }
            finally
            {
                _slots.Release();
            }
        }
        catch (OperationCanceledException)
        {
            // The silo goes down.
        }
        catch (Exception e)
        {
            // The edge of a task: tried again until somebody has it.
            if (_troubles.IsNews(vm, e.Message))
            {
                LogFailed(vm, record.OwnerName, e.Message);
            }
        }
        finally
        {
            _under[vm] = _time.GetTimestamp() + (long)(_again.TotalSeconds * _time.TimestampFrequency);
        }
    }

    private async Task TryRecoverAsync(string vm, OwnershipRecord record, CancellationToken cancellation)
    {
        if (await _store.ReadDefinitionAsync(vm, cancellation) is not { } definition || (definition.Restart ?? RestartPolicy.None) is not { Mode: not RestartMode.None } policy)
        {
            return;
        }

        var checkpoint = policy.Mode == RestartMode.Checkpoint ? record.Checkpoint : null;
        var demand = VmDemand.Of(vm, definition);
        var place = await _silos.ChooseForRecoveryAsync(demand, record.Owner, checkpoint?.Store, [.. _sent.Values]);
        _sent[vm] = (demand, place.Address);
        try
        {
            await _grains.GetGrain<IHostGrain>(place.Address).RecoverVm(vm, record.Version).WaitAsync(cancellation);
        }
        catch (ClusterException e) when (e.Error == ClusterError.WrongState)
        {
            // Another was quicker, or its owner is back.
            return;
        }
        finally
        {
            _sent.TryRemove(vm, out _);
        }

        LogRecovered(vm, place.Name, record.OwnerName, checkpoint is null ? "by booting it again" : $"from checkpoint {checkpoint.Number}");
    }

    private bool IsNews(string vm, string problem)
    {
        var news = !_told.TryGetValue(vm, out var before) || before != problem;
        _told[vm] = problem;
        return news;
    }

    [LoggerMessage(Level = LogLevel.Warning, Message = "VM {Vm} was brought up on silo {Silo} {How}, since silo {Lost} did not renew its lease.")]
    private partial void LogRecovered(string vm, string silo, string? lost, string how);

    [LoggerMessage(Level = LogLevel.Warning, Message = "VM {Vm}, whose silo {Lost} did not renew its lease, cannot be brought up yet: {Error}")]
    private partial void LogFailed(string vm, string? lost, string error);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The leases could not be looked at: {Error}")]
    private partial void LogLook(string error);
}
