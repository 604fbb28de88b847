using Godwit.Engine.Cpu;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine;

/// <summary>What the vCPUs' threads tell their machine.</summary>
internal interface IVcpuObserver
{
    /// <summary>Guest code is about to be entered after it was not.</summary>
    void RunStarted(long epoch);

    /// <summary>Guest time passes again; the guest has not run yet.</summary>
    void Entering();

    /// <summary>Guest code is no longer entered by any vCPU.</summary>
    void RunStopped(long epoch, string reason);

    /// <summary>The guest ended itself (a device, a triple fault), or the engine failed; on the thread of the vCPU that found out.</summary>
    void Ended(Vcpu vcpu, VcpuExit exit, Exception? failure);

    /// <summary>Whether a hypercall of the vCPU waits for the host and has not been answered.</summary>
    bool IsParked(int vcpu);
}

/// <summary>
/// The vCPU threads of one machine, which run, pause and end together. Guest time passes while any of them is in guest
/// code, or sleeps there because the guest has halted it.
/// </summary>
internal sealed class VcpuGroup(IMachineClock clock, SafePoints safePoints, IVcpuObserver observer) : IDirtyWriter, IDisposable
{
    private readonly Lock _gate = new();
    private readonly HashSet<VcpuThread> _inside = [];
    private VcpuThread[] _threads = [];
    private long _epoch;

    /// <summary>Starts the threads; they are paused.</summary>
    public void Start(VcpuThread[] threads)
    {
        _threads = threads;
        foreach (VcpuThread thread in threads)
            thread.Start();
    }

    public Task RunAsync() => Task.WhenAll(_threads.Select(thread => thread.RunAsync()));

    /// <summary>Completes when no guest code is entered any more and guest time stands still.</summary>
    public Task PauseAsync() => Task.WhenAll(_threads.Select(thread => thread.PauseAsync()));

    public Task FinishAsync() => Task.WhenAll(_threads.Select(thread => thread.FinishAsync()));

    /// <summary>Makes every thread look at its commands, its permit and its interrupts. Any thread.</summary>
    public void LookUp()
    {
        foreach (VcpuThread thread in _threads)
            thread.LookUp();
    }

    /// <summary>The same of one vCPU.</summary>
    public void LookUp(int vcpu)
    {
        // Devices are made before the threads.
        if (vcpu < _threads.Length)
            _threads[vcpu].LookUp();
    }

    /// <summary>All vCPUs return with this exit, wherever they are.</summary>
    public void RequestExit(VcpuExit exit)
    {
        foreach (VcpuThread thread in _threads)
        {
            thread.Vcpu.RequestExit(exit);
            thread.LookUp();
        }
    }

    /// <summary>
    /// Does something that waits for all vCPUs, asked for in the middle of an instruction of one of them: as soon as that
    /// instruction is over, before the next. At once where the caller is no vCPU.
    /// </summary>
    public void AfterInstruction(Action action)
    {
        if (Current() is not { } current)
        {
            action();
            return;
        }
        _ = current.PostAsync(action);
        current.Vcpu.RequestExit(VcpuExit.Parked);
    }

    /// <inheritdoc/>
    public void RevokeWritePermissions()
    {
        Vcpu? own = Current()?.Vcpu;
        own?.Translations.RevokeWritePermissions();
        safePoints.Everywhere(own?.Seat, vcpu => vcpu.Translations.RevokeWritePermissions());
    }

    public bool IsParked(VcpuThread thread) => observer.IsParked(thread.Vcpu.Index);

    /// <summary>A thread is about to enter guest code under an epoch.</summary>
    public void Enter(VcpuThread thread, long epoch)
    {
        lock (_gate)
        {
            if (epoch == _epoch && _inside.Contains(thread))
                return;
            if (epoch != _epoch && _inside.Count != 0)
                LeaveAll("new epoch");
            if (_inside.Count == 0)
            {
                _epoch = epoch;
                observer.RunStarted(epoch);
                clock.Start();
                observer.Entering();
            }
            _inside.Add(thread);
        }
    }

    /// <summary>A thread enters guest code no more until it says so.</summary>
    public void Leave(VcpuThread thread, string reason)
    {
        lock (_gate)
            if (_inside.Remove(thread) && _inside.Count == 0)
                Stop(reason);
    }

    public void Ended(VcpuThread thread, VcpuExit exit, Exception? failure) => observer.Ended(thread.Vcpu, exit, failure);

    public void Dispose()
    {
        foreach (VcpuThread thread in _threads)
            thread.Dispose();
    }

    /// <summary>The thread that calls, where it is a vCPU's.</summary>
    private VcpuThread? Current() => Array.Find(_threads, thread => thread.IsCurrent);

    // The others are still in guest code under the earlier epoch's right; each comes by Enter with its next slice.
    private void LeaveAll(string reason)
    {
        _inside.Clear();
        Stop(reason);
    }

    private void Stop(string reason)
    {
        clock.Stop();
        observer.RunStopped(_epoch, reason);
    }
}
