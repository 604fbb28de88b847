using Godwit.Grains.Interfaces;
using Godwit.Grains.Ownership;

namespace Godwit.Cluster.Tests.Ownership.Explorer;

/// <summary>
/// One silo with the ownership protocol's real code, in the order in which the silo and the engine use it: leases renewed
/// every third, moves as source and as target, and claims of a VM whose owner is gone.
/// </summary>
internal sealed class ExplorerSilo : IDisposable
{
    public const string Vm = "vm";

    private readonly ManualTime _time;
    private readonly OwnershipOptions _options;
    private readonly CancellationTokenSource _death = new();

    public ExplorerSilo(string name, MemoryOwnershipStore store, ManualTime time, OwnershipOptions options)
    {
        Name = name;
        Store = new NetworkedStore(store);
        _time = time;
        _options = options;
        Pump.Start(KeepLeaseAsync);
    }

    public string Name { get; }

    public SiloPump Pump { get; } = new();

    public NetworkedStore Store { get; }

    public bool Frozen { get; set; }

    public bool Dead { get; private set; }

    /// <summary>A move out or in, or a claim, is under way.</summary>
    public bool Busy { get; private set; }

    /// <summary>The machine here, where there is one.</summary>
    public ExplorerMachine? Machine { get; private set; }

    /// <summary>Whether the machine would enter guest code at this instant: a frozen silo may thaw at any.</summary>
    public bool MayRun => Machine is { Paused: false } machine && _time.GetTimestamp() < machine.RunsUntil;

    public int Takeovers { get; private set; }

    public int TakenBack { get; private set; }

    public int MovedIn { get; private set; }

    /// <summary>Dies: nothing of it goes on, what it has asked for may still arrive.</summary>
    public void Dispose()
    {
        Dead = true;
        Machine = null;
        Pump.Kill();
        _death.Cancel();
        _death.Dispose();
    }

    public void Claim() => Begin(ClaimAsync);

    public void Move(ExplorerSilo target, ExplorerLink link)
    {
        var tenure = Machine!.Tenure;
        Begin(() => MoveOutAsync(tenure, target.Name, link));
        target.Begin(() => target.MoveInAsync(link));
    }

    private void Begin(Func<Task> work)
    {
        Busy = true;
        Pump.Start(async () =>
        {
            await work();
            Busy = false;
        });
    }

    private async Task KeepLeaseAsync()
    {
        using var timer = new PeriodicTimer(_options.Lease / 3, _time);
        while (await timer.WaitForNextTickAsync(_death.Token))
        {
            if (Machine is not { } machine)
            {
                continue;
            }

            if (await machine.Tenure.RenewAsync(default))
            {
                machine.Grant(machine.Tenure);
            }
            else if (machine.Tenure.Lost && !Busy && Machine == machine)
            {
                Machine = null;
            }
        }
    }

    private async Task ClaimAsync()
    {
        try
        {
            var tenure = await Tenure.ClaimAsync(Store, _time, _options, Vm, Name, Name, default);
            Machine = new ExplorerMachine(tenure);
            Takeovers++;
        }
        catch (ClusterException)
        {
            // Its owner lives, or another was faster.
        }
    }

    private async Task MoveOutAsync(Tenure tenure, string target, ExplorerLink link)
    {
        var machine = Machine;
        if (machine is null || machine.Tenure != tenure)
        {
            link.Cut();
            return;
        }

        machine.Paused = true;
        var source = new MoveSource(Store, _time, _options, tenure, new LastMove(link.Job, Name, Name, target, target), machine.Grant);
        var before = tenure.Epoch;
        var stays = false;
        if (await source.BeginMoveAsync(default))
        {
            link.SendFinal();
            // Reported or cut: from here on only the record tells.
            await link.Running;
            stays = await source.AbandonMoveAsync(default) || !await source.ResolveMoveAsync(default);
        }

        link.Cut();
        if (stays)
        {
            machine.Paused = false;
            TakenBack += tenure.Epoch > before ? 1 : 0;
        }
        else if (Machine == machine)
        {
            Machine = null;
        }
    }

    private async Task MoveInAsync(ExplorerLink link)
    {
        if (!await link.Final)
        {
            return;
        }

        var target = new MoveTarget(Store, _time, _options, Vm, link.Job, Name, Name, tenure => Machine = new ExplorerMachine(tenure));
        if (await target.CommitMoveAsync(default) is null)
        {
            link.Cut();
            return;
        }

        MovedIn++;
        if (link.TargetFails)
        {
            await HandBackAsync();
            link.Cut();
            return;
        }

        link.SendRunning();
        if (!await target.ConfirmAsync(default))
        {
            Machine = null;
        }
    }

    /// <summary>Committed, but not able to run it.</summary>
    private async Task HandBackAsync()
    {
        var tenure = Machine!.Tenure;
        Machine = null;
        await tenure.ChangeAsync(r => r.Confirmed ? null : r with { Lease = TimeSpan.Zero }, default);
        tenure.GiveUp();
    }
}

/// <summary>What the silo holds of a machine: the hold on its record, and until when that lets it run.</summary>
internal sealed class ExplorerMachine(Tenure tenure)
{
    public Tenure Tenure { get; } = tenure;

    public bool Paused { get; set; }

    public long RunsUntil { get; private set; } = tenure.LeaseEnds;

    public void Grant(Tenure granted) => RunsUntil = granted.LeaseEnds;
}

/// <summary>A migration's connection: each message arrives when the explorer lets it, or never.</summary>
internal sealed class ExplorerLink(string job, bool targetFails)
{
    private readonly TaskCompletionSource<bool> _final = new(), _running = new();
    private bool _finalSent, _runningSent;

    public string Job { get; } = job;

    /// <summary>The target commits and then finds that it cannot run the machine.</summary>
    public bool TargetFails { get; } = targetFails;

    /// <summary>False: the link is cut.</summary>
    public Task<bool> Final => _final.Task;

    public Task<bool> Running => _running.Task;

    public bool IsOver => _final.Task.IsCompleted && _running.Task.IsCompleted;

    public bool HasMessage => (_finalSent && !_final.Task.IsCompleted) || (_runningSent && !_running.Task.IsCompleted);

    public void SendFinal() => _finalSent = true;

    public void SendRunning() => _runningSent = true;

    public void Deliver()
    {
        if (_finalSent)
        {
            _final.TrySetResult(true);
        }

        if (_runningSent)
        {
            _running.TrySetResult(true);
        }
    }

    public void Cut()
    {
        _final.TrySetResult(false);
        _running.TrySetResult(false);
    }
}
