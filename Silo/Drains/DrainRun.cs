using Godwit.Engine.Machine;
using Godwit.Grains.Hosts;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Hosts;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Silo.Machines;
using Godwit.Silo.Migrations;

namespace Godwit.Silo.Drains;

/// <summary>
/// Moves every VM off this silo, the largest first, a few at a time, until none is left that can move. What was admitted
/// before the silo closed is waited for and moved too.
/// </summary>
internal sealed class DrainRun
{
    /// <summary>A target may die or fill up under a migration; after this many failures the VM stays.</summary>
    private const int Attempts = 3;

    /// <summary>How often is looked for what no migration of ours announces: arrivals, and room within the cluster's limit.</summary>
    private static readonly TimeSpan _look = TimeSpan.FromMilliseconds(50);

    private readonly Dictionary<string, MigrationJob> _moving = [];
    private readonly Dictionary<string, int> _failures = [];
    private readonly HashSet<string> _kept = [];
    private readonly DrainJob _job;
    private readonly DrainRequest _request;
    private readonly HostedVms _vms;
    private readonly Admission _admission;
    private readonly IncomingMigrations _incoming;
    private readonly OutgoingMigrations _outgoing;
    private readonly SiloDirectory _silos;
    private readonly MoveSlots _slots;
    private readonly SiloIdentity _silo;

    public DrainRun(DrainJob job, DrainRequest request, HostedVms vms, Admission admission, IncomingMigrations incoming, OutgoingMigrations outgoing, SiloDirectory silos, MoveSlots slots, SiloIdentity silo)
    {
        _job = job;
        _request = request;
        _vms = vms;
        _admission = admission;
        _incoming = incoming;
        _outgoing = outgoing;
        _silos = silos;
        _slots = slots;
        _silo = silo;
    }

    private int Left => _vms.All.Count(v => !v.Ended);

    /// <summary>Returns when nothing is left that can move. Cancelling stops new migrations; those under way go on.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        try
        {
            await MoveAllAsync(cancellation);
        }
        finally
        {
            foreach (var (vm, migration) in _moving)
            {
                _ = ReleaseAfterAsync(vm, migration);
            }
        }
    }

    private async Task MoveAllAsync(CancellationToken cancellation)
    {
        _job.Report(DrainEvent.Started, null, $"Silo {_silo.Name} takes no more VMs; it holds {Left}.", Left);
        using var look = new PeriodicTimer(_look);
        var tick = look.WaitForNextTickAsync(cancellation).AsTask();
        while (true)
        {
            await SettleAsync(cancellation);

            // In this order: what is admitted shows in the registry before it counts as having entered.
            var arriving = _admission.Entering || _incoming.Any;
            var waiting = _vms.All.Where(v => !v.Ended && !_kept.Contains(v.Name) && !_moving.ContainsKey(v.Name))
                .OrderByDescending(v => v.Definition.MemoryBytes)
                .ThenBy(v => v.Name, StringComparer.Ordinal)
                .ToList();
            if (waiting.Count == 0 && _moving.Count == 0 && !arriving)
            {
                return;
            }

            foreach (var vm in waiting)
            {
                if (!await TryMoveAsync(vm, cancellation))
                {
                    break;
                }
            }

            await Task.WhenAny([tick, .. _moving.Values.Select(m => m.Completion)]);
            if (tick.IsCompleted)
            {
                await tick;
                tick = look.WaitForNextTickAsync(cancellation).AsTask();
            }
        }
    }

    private async Task ReleaseAfterAsync(string vm, MigrationJob migration)
    {
        await migration.Completion;
        await _slots.ReleaseAsync(vm);
    }

    /// <summary>False where a limit is reached, so that no other VM need be tried now.</summary>
    private async Task<bool> TryMoveAsync(HostedVm vm, CancellationToken cancellation)
    {
        if (vm.MigrationUnderWay)
        {
            // A person's command came first: its migration is as good as one of ours.
            _moving[vm.Name] = vm.Job!;
            return true;
        }

        if (_vms.All.Count(v => v.MigrationUnderWay) >= _request.PerSilo)
        {
            return false;
        }

        if (!vm.Serving || await PhaseAsync(vm) is not { } phase || phase == MachinePhase.Ended)
        {
            // On its way in or out.
            return true;
        }

        if (phase == MachinePhase.Paused)
        {
            Keep(vm.Name, "it is paused, and only a running VM can migrate.");
            return true;
        }

        SiloRef target;
        try
        {
            target = await _silos.ChooseAsync(vm.Name, vm.Definition, vm.Load, _silo.Address);
        }
        catch (ClusterException e)
        {
            Keep(vm.Name, e.Message);
            return true;
        }

        try
        {
            return await _slots.TryTakeAsync(vm.Name, _request.PerCluster) && await StartAsync(vm.Name, target, cancellation);
        }
        finally
        {
            await _silos.SettleAsync(vm.Name);
        }
    }

    private async Task<bool> StartAsync(string vm, SiloRef target, CancellationToken cancellation)
    {
        try
        {
            var ticket = await _outgoing.StartAsync(vm, target.Address, new MigrationRequest { Target = target.Address }, cancellation);
            _moving[vm] = _outgoing.Require(ticket.Job);
            _job.Report(DrainEvent.Moving, vm, $"VM {vm} is moving to silo {ticket.TargetName}.", Left);
        }
        catch (Exception e)
        {
            await _slots.ReleaseAsync(vm);
            if (e is not (ClusterException or MachineException or ObjectDisposedException))
            {
                throw;
            }

            // It may have gone or been paused, or the target filled up, since they were looked at: the next look tells.
            Failed(vm, e.Message);
        }

        return true;
    }

    private async Task SettleAsync(CancellationToken cancellation)
    {
        foreach (var (name, migration) in _moving.Where(m => m.Value.Finished).ToList())
        {
            _moving.Remove(name);
            await _slots.ReleaseAsync(name);
            var end = await migration.WatchAsync(long.MaxValue - 1, TimeSpan.Zero);
            if (end.Result is { } result)
            {
                _job.Moved(new DrainedVm { Name = name, Target = migration.Ticket.TargetName, Blackout = result.Blackout, Total = result.Total }, Left);
            }
            else if (!cancellation.IsCancellationRequested)
            {
                Failed(name, end.Error ?? "its migration failed.");
            }
        }
    }

    private void Failed(string vm, string why)
    {
        if (_vms.Find(vm) is null or { Ended: true })
        {
            return;
        }

        if ((_failures[vm] = _failures.GetValueOrDefault(vm) + 1) >= Attempts)
        {
            Keep(vm, why);
        }
        else
        {
            _job.Report(DrainEvent.Again, vm, $"VM {vm} is tried again: {why}", Left);
        }
    }

    private void Keep(string vm, string reason)
    {
        _kept.Add(vm);
        _job.Kept(new KeptVm { Name = vm, Reason = reason }, Left);
    }

    private static async Task<MachinePhase?> PhaseAsync(HostedVm vm)
    {
        try
        {
            return (await vm.Machine.GetStatusAsync(vm.Gone)).Phase;
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or MachineException)
        {
            return null;
        }
    }
}
