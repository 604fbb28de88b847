using Godwit.Grains.Interfaces.Vms;
using Godwit.Grains.Ownership;

namespace Godwit.Cluster.Tests.Ownership.Explorer;

/// <summary>
/// One run of a small cluster whose every interleaving is the seed's: which silo goes on, which request or answer arrives,
/// who freezes, dies or is cut off, and when time passes. After each step at most one machine may run; when everything
/// has healed, exactly one does.
/// </summary>
internal sealed class ProtocolExplorer
{
    private const int Silos = 3;

    private readonly Random _random;
    private readonly ManualTime _time = new();
    private readonly MemoryOwnershipStore _store = new();
    private readonly OwnershipOptions _options;
    private readonly ExplorerSilo[] _silos;
    private readonly List<ExplorerLink> _links = [];
    private int _born;

    public ProtocolExplorer(int seed, OwnershipOptions options)
    {
        _options = options;
        _random = new Random(seed);
        _store.CreateAsync(ExplorerSilo.Vm, new VmDefinition { MemoryBytes = 1 << 20 }, default).GetAwaiter().GetResult();
        _silos = [.. Enumerable.Range(0, Silos).Select(_ => Born())];
        _silos[0].Claim();
    }

    public IReadOnlyList<OwnershipRecord> History => _store.History;

    public int Takeovers { get; private set; }

    public int TakenBack { get; private set; }

    public int MovedIn { get; private set; }

    public int Steps { get; private set; }

    /// <summary>Takes the steps, then heals; null: all held. Otherwise what did not.</summary>
    public string? Run(int steps)
    {
        for (var i = 0; i < steps; i++)
        {
            Step();
            if (Violation() is { } violation)
            {
                return $"step {i}: {violation}";
            }
        }

        var healed = Heal();
        foreach (var silo in _silos)
        {
            Count(silo);
            silo.Dispose();
        }

        return healed;
    }

    private string? Violation()
    {
        ExplorerSilo? able = null;
        foreach (var silo in _silos)
        {
            if (silo.Pump.Failure is { } failure)
            {
                return $"{silo.Name}: {failure}";
            }

            if (silo.MayRun)
            {
                if (able is not null)
                {
                    return $"{able.Name} and {silo.Name} may run at once";
                }

                able = silo;
            }
        }

        return _store.History.Count > 1 && _store.History[^1].Epoch < _store.History[^2].Epoch ? "an epoch fell" : null;
    }

    private void Step()
    {
        Steps++;
        switch (_random.Next(100))
        {
            case < 80 when Goes():
                break;
            case < 90:
                _time.Advance(_options.Lease / 3 * _random.NextDouble());
                break;
            case < 91:
                _time.Advance(_options.Lease * (1 + _random.NextDouble()));
                break;
            case < 94:
                Move();
                break;
            case < 97:
                Claim(_silos[_random.Next(Silos)]);
                break;
            default:
                Fail(_random.Next(Silos));
                break;
        }
    }

    /// <summary>One of the things that can happen now does: a continuation, a request, an answer, a message. False: there is none.</summary>
    private bool Goes()
    {
        var able = 0;
        Action? chosen = null;
        void Offer(Action what) => chosen = _random.Next(++able) == 0 ? what : chosen;
        foreach (var silo in _silos)
        {
            if (!silo.Frozen && silo.Pump.HasWork)
            {
                Offer(silo.Pump.Turn);
            }

            if (silo.Store is { IsCut: false, Requests: > 0 } asking)
            {
                Offer(() => asking.Arrive(_random.Next(asking.Requests), again: _random.Next(8) == 0));
            }

            if (silo.Store is { IsCut: false, Answers: > 0 } asked)
            {
                Offer(() => asked.Answer(_random.Next(asked.Answers)));
            }
        }

        foreach (var link in _links.Where(l => l.HasMessage))
        {
            Offer(link.Deliver);
        }

        chosen?.Invoke();
        return chosen is not null;
    }

    private void Move()
    {
        if (_silos.FirstOrDefault(s => s is { Dead: false, Busy: false, Frozen: false, Machine: not null }) is not { } source)
        {
            return;
        }

        var target = _silos[(Array.IndexOf(_silos, source) + _random.Next(1, Silos)) % Silos];
        if (target is { Dead: false, Busy: false, Machine: null })
        {
            _links.RemoveAll(l => l.IsOver);
            var link = new ExplorerLink($"job{Steps}", targetFails: _random.Next(8) == 0);
            _links.Add(link);
            source.Move(target, link);
        }
    }

    private static void Claim(ExplorerSilo silo)
    {
        if (silo is { Dead: false, Busy: false, Machine: null })
        {
            silo.Claim();
        }
    }

    private void Fail(int index)
    {
        var silo = _silos[index];
        switch (_random.Next(9))
        {
            case 0:
                Count(silo);
                silo.Dispose();
                _silos[index] = Born();
                break;
            case 1 or 2:
                silo.Store.IsCut = !silo.Store.IsCut;
                break;
            case 3 or 4 when _links.Count > 0:
                _links[_random.Next(_links.Count)].Cut();
                break;
            default:
                silo.Frozen = !silo.Frozen;
                break;
        }
    }

    private ExplorerSilo Born() => new($"silo{_born++}", _store, _time, _options);

    private void Count(ExplorerSilo silo)
    {
        Takeovers += silo.Takeovers;
        TakenBack += silo.TakenBack;
        MovedIn += silo.MovedIn;
    }

    /// <summary>Failures end, everything on its way arrives, and whoever may claims: in the end one runs, and goes on running.</summary>
    private string? Heal()
    {
        foreach (var silo in _silos)
        {
            (silo.Frozen, silo.Store.IsCut) = (false, false);
        }

        var runs = 0;
        for (var i = 0; i < 400; i++)
        {
            if (!Settle(out var violation))
            {
                return violation;
            }

            // A link whose other end died with its silo breaks sooner or later.
            if (i % 8 == 7)
            {
                _links.ForEach(l => l.Cut());
                _links.Clear();
            }

            runs = _silos.Any(s => s.MayRun) ? runs + 1 : 0;
            if (runs > 8)
            {
                return null;
            }

            if (runs == 0)
            {
                Claim(_silos[_random.Next(Silos)]);
            }

            _time.Advance(_options.Lease / 4);
            if (Violation() is { } late)
            {
                return $"while healing: {late}";
            }
        }

        return "nobody runs, whatever time passes: " + _store.History[^1];
    }

    /// <summary>Lets everything go on until nothing is left to do at this instant.</summary>
    private bool Settle(out string? violation)
    {
        violation = null;
        for (var busy = true; busy;)
        {
            busy = false;
            foreach (var silo in _silos)
            {
                for (; silo.Pump.HasWork; busy = true)
                {
                    silo.Pump.Turn();
                }

                for (; silo.Store.Requests > 0; busy = true)
                {
                    silo.Store.Arrive(0, again: false);
                }

                for (; silo.Store.Answers > 0; busy = true)
                {
                    silo.Store.Answer(0);
                }

                violation = Violation();
                if (violation is not null)
                {
                    violation = "while healing: " + violation;
                    return false;
                }
            }

            _links.ForEach(l => l.Deliver());
        }

        return true;
    }
}
