using System.Runtime.CompilerServices;
using Godwit.Engine.Machine;

namespace Godwit.Silo.Machines;

/// <summary>
/// Measures how many vCPUs each VM keeps busy, as a mean that forgets within seconds, for placement. Until a VM has been
/// measured it counts as busy: of guests that are started together, each is seen by the choice for the next.
/// </summary>
internal sealed class LoadMeter : BackgroundService
{
    private static readonly TimeSpan _every = TimeSpan.FromSeconds(2);

    /// <summary>After this long a change of load shows by 63 %.</summary>
    private static readonly TimeSpan _memory = TimeSpan.FromSeconds(6);

    private readonly ConditionalWeakTable<HostedVm, Sample> _last = [];
    private readonly HostedVms _vms;
    private readonly TimeProvider _time;

    public LoadMeter(HostedVms vms, TimeProvider time)
    {
        _vms = vms;
        _time = time;
    }

    /// <summary>Takes one reading of every machine.</summary>
    public async Task MeasureAsync()
    {
        foreach (var vm in _vms.All.Where(v => v is { Ended: false, Serving: true }))
        {
            try
            {
                Add(vm, await vm.Machine.GetStatusAsync(vm.Gone));
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or MachineException)
            {
                // It has just left.
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(_every, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                await MeasureAsync();
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The silo goes down.
        }
    }

    private void Add(HostedVm vm, MachineStatus status)
    {
        var now = _time.GetTimestamp();
        if (_last.TryGetValue(vm, out var last) && _time.GetElapsedTime(last.At, now) is var passed && passed > TimeSpan.Zero && status.BusyNanoseconds >= last.Busy)
        {
            var share = Math.Min((status.BusyNanoseconds - last.Busy) / passed.TotalNanoseconds, vm.Definition.VcpuCount);
            vm.Load = last.First ? share : vm.Load + (share - vm.Load) * (1 - Math.Exp(-passed / _memory));
        }

        _last.AddOrUpdate(vm, new Sample(now, status.BusyNanoseconds, First: last is null));
    }

    /// <param name="First">Nothing has been measured up to it.</param>
    private sealed record Sample(long At, ulong Busy, bool First);
}
