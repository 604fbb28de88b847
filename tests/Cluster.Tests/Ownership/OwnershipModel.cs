using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;

namespace Godwit.Cluster.Tests.Ownership;

/// <summary>Three silos that do random steps of the protocol with one VM; a frozen one does nothing but keep its lease's rest.</summary>
internal sealed class OwnershipModel
{
    private const string Vm = "vm";
    private static readonly TimeSpan _step = TimeSpan.FromMilliseconds(250);

    private readonly MemoryOwnershipStore _store;
    private readonly ManualTime _time;
    private readonly OwnershipOptions _options;
    private readonly Random _random;
    private readonly ModelSilo[] _silos = [new("A"), new("B"), new("C")];
    private int _jobs;

    public OwnershipModel(MemoryOwnershipStore store, ManualTime time, OwnershipOptions options, Random random)
    {
        _store = store;
        _time = time;
        _options = options;
        _random = random;
    }

    public int Moves { get; private set; }

    public int Takeovers { get; private set; }

    public int TakenBack { get; private set; }

    public Task CreateAsync() => _store.CreateAsync(Vm, new VmDefinition { MemoryBytes = 1 << 20 }, default);

    /// <summary>Silos whose machine would enter guest code now: not paused for a move, lease not run out.</summary>
    public List<string> AbleToRun() =>
        [.. _silos.Where(s => s.Tenure is { Lost: false } t && !s.PausedForMove && _time.GetTimestamp() < t.LeaseEnds).Select(s => s.Name)];

    public async Task StepAsync()
    {
        var silo = _silos[_random.Next(_silos.Length)];
        var what = _random.Next(100);
        if (what < 25)
        {
            await PassAsync();
        }
        else if (what < 28)
        {
            silo.Frozen = !silo.Frozen;
        }
        else if (!silo.Frozen)
        {
            await ActAsync(silo, what);
        }
    }

    /// <summary>Time passes; silos that live renew.</summary>
    private async Task PassAsync()
    {
        _time.Advance(_options.Lease / 3 * _random.NextDouble());
        foreach (var silo in _silos.Where(s => !s.Frozen && s.Tenure is { Lost: false }))
        {
            await silo.Tenure!.RenewAsync(default);
        }
    }

    private async Task ActAsync(ModelSilo silo, int what)
    {
        if (silo.Outgoing is { } outgoing)
        {
            await GoOnWithMoveAsync(silo, outgoing, what);
        }
        else if (silo.Tenure is { Lost: false } tenure)
        {
            await BeginAsync(silo, tenure);
        }
        else if (what > 80)
        {
            await ClaimAsync(silo);
        }
    }

    private async Task BeginAsync(ModelSilo silo, Tenure tenure)
    {
        var target = _silos[(Array.IndexOf(_silos, silo) + _random.Next(1, _silos.Length)) % _silos.Length];
        var job = $"job{_jobs++}";
        silo.PausedForMove = true;
        var source = new MoveSource(_store, _time, _options, tenure, new LastMove(job, silo.Name, silo.Name, target.Name, target.Name), _ => { });
        if (await source.BeginMoveAsync(default))
        {
            silo.Outgoing = new Outgoing(source, new MoveTarget(_store, _time, _options, Vm, job, target.Name, target.Name, t => target.Take(t)), target);
        }
        else
        {
            silo.PausedForMove = false;
        }
    }

    private async Task GoOnWithMoveAsync(ModelSilo silo, Outgoing move, int what)
    {
        switch (what % 4)
        {
            case 0 when !move.Target.Frozen && move.Commit.Tenure is null:
                if (await move.Commit.CommitMoveAsync(default) is not null)
                {
                    Moves++;
                }

                break;
            case 0 when !move.Target.Frozen && _random.Next(2) == 0:
                // The target goes dark between its commit and its report.
                move.Target.Frozen = true;
                break;
            case 1 when !move.Target.Frozen && move.Commit.Tenure is not null:
                await move.Commit.ConfirmAsync(default);
                break;
            case 2:
                await EndAsync(silo, !await move.Source.AbandonMoveAsync(default), move);
                break;
            default:
                break;
        }
    }

    private async Task EndAsync(ModelSilo silo, bool unknown, Outgoing move)
    {
        if (unknown)
        {
            // The link is lost: from here the source only asks the record, while the target lives on or does not.
            var before = silo.Tenure!.Epoch;
            var resolving = move.Source.ResolveMoveAsync(default);
            while (!resolving.IsCompleted)
            {
                _time.Advance(_step);
                await Task.Yield();
                foreach (var other in _silos.Where(s => s != silo && !s.Frozen && s.Tenure is { Lost: false }))
                {
                    await other.Tenure!.RenewAsync(default);
                }

                if (!move.Target.Frozen && move.Commit.Tenure is not null && _random.Next(3) == 0)
                {
                    await move.Commit.ConfirmAsync(default);
                }
            }

            if (await resolving)
            {
                silo.Tenure = null;
            }
            else if (silo.Tenure.Epoch > before)
            {
                TakenBack++;
            }
        }

        silo.Outgoing = null;
        silo.PausedForMove = false;
    }

    private async Task ClaimAsync(ModelSilo silo)
    {
        var claim = Tenure.ClaimAsync(_store, _time, _options, Vm, silo.Name, silo.Name, default);
        while (!claim.IsCompleted)
        {
            _time.Advance(_step);
            await Task.Yield();
            foreach (var other in _silos.Where(s => !s.Frozen && s.Tenure is { Lost: false }))
            {
                await other.Tenure!.RenewAsync(default);
            }
        }

        try
        {
            silo.Take(await claim);
            Takeovers++;
        }
        catch (ClusterException)
        {
            // Its owner lives.
        }
    }

    private sealed class ModelSilo(string name)
    {
        public string Name { get; } = name;

        public Tenure? Tenure { get; set; }

        public bool Frozen { get; set; }

        public bool PausedForMove { get; set; }

        public Outgoing? Outgoing { get; set; }

        public void Take(Tenure tenure) => (Tenure, PausedForMove, Outgoing) = (tenure, false, null);
    }

    private sealed record Outgoing(MoveSource Source, MoveTarget Commit, ModelSilo Target);
}
