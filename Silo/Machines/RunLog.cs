using System.Diagnostics;
using Godwit.Engine.Machine;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Silo.Machines;

/// <summary>When this silo ran a VM, and what its guest logged; kept after the VM has left, newest entries only.</summary>
public sealed class RunLog
{
    private const int Kept = 20_000;

    private readonly Lock _lock = new();
    private readonly List<RunInterval> _intervals = [];
    private readonly List<GuestMark> _marks = [];
    private readonly string _siloAddress;
    private readonly string _siloName;

    public RunLog(string siloAddress, string siloName)
    {
        _siloAddress = siloAddress;
        _siloName = siloName;
    }

    public void Add(MachineEvent what)
    {
        lock (_lock)
        {
            switch (what)
            {
                case RunStarted started:
                    Append(_intervals, new RunInterval { SiloAddress = _siloAddress, SiloName = _siloName, Epoch = started.Epoch, Started = started.Timestamp, Stopped = null });
                    break;
                case RunStopped stopped:
                    Close(stopped.Epoch, stopped.Timestamp, stopped.Reason);
                    break;
                case MachineEnded ended:
                    Close(null, ended.Timestamp, ended.Reason);
                    break;
                case GuestLogged logged:
                    Append(_marks, new GuestMark { Timestamp = logged.Timestamp, Epoch = logged.Epoch, GuestNanoseconds = logged.GuestNanoseconds, Code = logged.Code, Value = logged.Value });
                    break;
            }
        }
    }

    public RunHistory ToHistory()
    {
        lock (_lock)
        {
            return new RunHistory { Intervals = [.. _intervals], Marks = [.. _marks], TicksPerSecond = Stopwatch.Frequency };
        }
    }

    private static void Append<T>(List<T> list, T item)
    {
        if (list.Count == Kept)
        {
            list.RemoveRange(0, Kept / 4);
        }

        list.Add(item);
    }

    private void Close(long? epoch, long at, string reason)
    {
        var open = _intervals.FindLastIndex(i => i.Stopped is null && (epoch is null || i.Epoch == epoch));
        if (open >= 0)
        {
            _intervals[open] = _intervals[open] with { Stopped = at, Reason = reason };
        }
    }
}
