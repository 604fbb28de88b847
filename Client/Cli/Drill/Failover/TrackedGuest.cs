using System.Diagnostics;
using System.Globalization;
using Godwit.Client;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Cli.Drill.Failover;

/// <summary>
/// A guest with a restart policy under silos that die: what its silos recorded of it is gathered all the time, since they
/// take it along. Its ticks come through the Log hypercall, and each carries the epoch that the silo had, not the guest.
/// </summary>
internal sealed class TrackedGuest(Vm vm)
{
    /// <summary>The built-in guest's Log code for a tick (docs/builtin-guest.md).</summary>
    private const ulong TickCode = 1;

    private static readonly TimeSpan s_answerLimit = TimeSpan.FromSeconds(2);

    private readonly HashSet<(string Silo, long At, long Epoch, ulong Tick)> _marks = [];
    private readonly Dictionary<(string Silo, long Epoch, long Started), long?> _runs = [];
    private (long Epoch, long Number) _checkpoint;
    private readonly Queue<(long Number, ulong Tick, long Epoch)> _looks = new();
    private (ulong Tick, long Epoch) _floor;
    private ulong _lastTick;

    public Vm Vm { get; } = vm;

    public string Name => Vm.Name;

    /// <summary>The highest epoch of which something was seen.</summary>
    public long Epoch { get; private set; } = 1;

    public ulong LastTick => _lastTick;

    /// <summary>Asks one silo what it remembers; one that is silent or gone says nothing.</summary>
    public async Task CollectAsync(DrillSilo silo, CancellationToken cancellation)
    {
        try
        {
            RunHistory history = await Vm.RunsAtAsync(silo.Address, cancellation).WaitAsync(s_answerLimit, cancellation).ConfigureAwait(false);
            lock (_marks)
            {
                foreach (GuestMark mark in history.Marks.Where(mark => mark.Code == TickCode))
                {
                    _marks.Add((silo.Address, mark.Timestamp, mark.Epoch, mark.Value));
                    _lastTick = mark.Epoch > Epoch ? mark.Value : mark.Epoch == Epoch ? Math.Max(_lastTick, mark.Value) : _lastTick;
                    Epoch = Math.Max(Epoch, mark.Epoch);
                }
                foreach (Grains.Interfaces.Vms.RunInterval run in history.Intervals)
                    _runs[(run.SiloAddress, run.Epoch, run.Started)] = run.Stopped;
            }
        }
        catch (Exception e) when (e is GodwitException or TimeoutException)
        {
            // Dead, frozen or on its way out.
        }
    }

    /// <summary>Whether it has ticked after a moment (Stopwatch ticks).</summary>
    public bool TickedSince(long moment)
    {
        lock (_marks)
            return _marks.Any(mark => mark.Epoch == Epoch && mark.At > moment);
    }

    /// <summary>When it first ran after a moment under an epoch above the one given; null: not yet.</summary>
    public long? RanAbove(long epoch)
    {
        lock (_marks)
            return _runs.Keys.Where(run => run.Epoch > epoch).Min(run => (long?)run.Started);
    }

    /// <summary>What is wrong with what has been gathered, one line; null: nothing.</summary>
    public string? FindTwoRunners()
    {
        lock (_marks)
        {
            (string Silo, long At, long Epoch, ulong Tick)[] marks = [.. _marks.OrderBy(mark => mark.At)];
            long highest = 0;
            foreach ((string silo, long at, long epoch, ulong tick) in marks)
            {
                if (epoch < highest)
                    return $"tick {tick} of epoch {epoch} on {silo} came after one of epoch {highest}";
                highest = epoch;
                if (_runs.Keys.FirstOrDefault(run => run.Epoch > epoch && run.Started < at) is { Silo: { } other } run)
                    return string.Create(CultureInfo.InvariantCulture, $"tick {tick} of epoch {epoch} on {silo} came {Stopwatch.GetElapsedTime(run.Started, at).TotalMilliseconds:0.0} ms after epoch {run.Epoch} had begun on {other}");
            }
            foreach (IGrouping<long, (string Silo, long At, long Epoch, ulong Tick)> run in marks.GroupBy(mark => mark.Epoch))
                if (run.Select(mark => mark.Silo).Distinct().Count() > 1)
                    return $"two silos ran epoch {run.Key}";
            return null;
        }
    }

    /// <summary>
    /// Looks at the VM as its cluster shows it. What is wrong, one line; null: nothing. The first tick of an epoch may fall
    /// back behind the last of the one before, but not behind what is in a checkpoint, and it never boots again.
    /// </summary>
    public async Task<string?> FindLostAsync(CancellationToken cancellation)
    {
        (ulong tick, long epoch) = (_lastTick, Epoch);
        VmInfo info = await Vm.ShowAsync(cancellation).ConfigureAwait(false);
        if (info.State != VmState.Running)
            return $"it is {info.State}";
        if (info.BootEpoch != 1)
            return $"it booted again at epoch {info.BootEpoch}";
        if (info.Checkpoint is not { } now)
            return "it has no checkpoint any more";
        if (now.Number < _checkpoint.Number || now.Epoch < _checkpoint.Epoch)
            return $"checkpoint {now.Number} of epoch {now.Epoch} came after {_checkpoint.Number} of epoch {_checkpoint.Epoch}";
        _checkpoint = (now.Epoch, now.Number);
        // The next but one was begun after that look, and holds what the guest had said before it.
        for (; _looks.TryPeek(out var look) && now.Number >= look.Number + 2; _looks.Dequeue())
            _floor = (look.Tick, look.Epoch);
        _looks.Enqueue((now.Number, tick, epoch));
        lock (_marks)
        {
            ulong[] ticks = [.. _marks.Where(mark => mark.Epoch == Epoch).Select(mark => mark.Tick)];
            return ticks.Length > 0 && Epoch > _floor.Epoch && ticks.Min() <= _floor.Tick
                ? $"epoch {Epoch} began at tick {ticks.Min()}, and tick {_floor.Tick} was in a checkpoint"
                : null;
        }
    }
}
