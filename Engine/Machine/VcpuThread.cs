using System.Collections.Concurrent;
using System.Diagnostics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Timers;
using Godwit.Engine.Host;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine;

/// <summary>
/// The thread of one vCPU: Running, Paused or Finished. Commands reach it as actions that it runs between instructions;
/// device timers fire on the first vCPU's, under the machine lock. A halted guest costs no CPU: its threads sleep, that one
/// to the next deadline.
/// </summary>
internal sealed class VcpuThread : IDisposable
{
    // Instructions between looks at the timers. As many as take about a tenth of a millisecond, within these bounds: from
    // one to the next the guest may become a hundred times slower, and timers late by what the longest takes then.
    private const long ShortestSlice = 50_000, LongestSlice = 400_000;
    private const double SliceNanoseconds = 100_000;

    private const ulong Millisecond = 1_000_000;

    // How much longer than its timer a slice may be that ends by itself soon: ending it from another thread costs more.
    private static readonly long _grace = Stopwatch.Frequency / 5000;

    // The runtime's own threads answer probes first.
    private const int Nice = 5;

    private readonly Vcpu _vcpu;
    private readonly IVcpuBackend _backend;
    private readonly TimerQueue? _timers;
    private readonly IMachineClock _clock;
    private readonly RunPermit _permit;
    private readonly VcpuGroup _group;
    private readonly VcpuStartup _startup;
    private readonly WakeEvent _wake = new();
    private readonly ConcurrentQueue<Action> _commands = new();
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SliceAlarm.Watch? _alarm;
    private readonly Thread _thread;
    private volatile bool _threadGone;
    private bool _wantRun;
    private bool _finished;
    private long _busyTicks;
    private long _slice = ShortestSlice;
    private ulong _looked = ulong.MaxValue;
    private bool _goesOn;

    /// <param name="name">The thread's.</param>
    /// <param name="vcpu">The vCPU that runs on it.</param>
    /// <param name="backend">Executes it.</param>
    /// <param name="timers">The machine's, on the first vCPU's thread; null: others run them.</param>
    /// <param name="startup">Whether the vCPU has been started.</param>
    /// <param name="clock">The machine's.</param>
    /// <param name="permit">The machine's right to run.</param>
    /// <param name="group">The machine's vCPUs.</param>
    public VcpuThread(string name, Vcpu vcpu, IVcpuBackend backend, TimerQueue? timers, VcpuStartup startup, IMachineClock clock, RunPermit permit, VcpuGroup group)
    {
        _vcpu = vcpu;
        _backend = backend;
        _timers = timers;
        _startup = startup;
        _clock = clock;
        _permit = permit;
        _group = group;
        _thread = new Thread(Main) { Name = name, IsBackground = true };
        if (clock is HostClock)
            _alarm = SliceAlarm.Add(vcpu.Kick);
    }

    /// <summary>Whether the caller runs on this thread.</summary>
    public bool IsCurrent => Thread.CurrentThread == _thread;

    /// <summary>The vCPU.</summary>
    public Vcpu Vcpu => _vcpu;

    /// <summary>Begins; once all threads of the machine are there.</summary>
    public void Start() => _thread.Start();

    /// <summary>How long guest code has been executed, or waited for a core, in nanoseconds. Any thread.</summary>
    public ulong BusyNanoseconds => (ulong)Stopwatch.GetElapsedTime(0, Volatile.Read(ref _busyTicks)).TotalNanoseconds;

    /// <summary>
    /// The longest that a timer was due while the guest ran, in guest nanoseconds, and how often it was a millisecond; since
    /// the thread's start. Counted instructions have no such delay.
    /// </summary>
    public TimerDelays Delays { get; private set; }

    /// <summary>Runs an action on the thread at a safe point; faulted when the thread has finished.</summary>
    public Task PostAsync(Action action)
    {
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        void Command()
        {
            if (_finished)
            {
                done.TrySetException(new MachineException("the machine has ended"));
                return;
            }
            try
            {
                action();
                done.TrySetResult();
            }
#pragma warning disable CA1031 // the command's failure belongs to whoever posted it
            catch (Exception failure)
#pragma warning restore CA1031
            {
                done.TrySetException(failure);
            }
        }
        _commands.Enqueue(Command);
        LookUp();
        if (_threadGone)
            DrainCommands();
        return done.Task;
    }

    /// <summary>Enters guest code as soon as the permit allows.</summary>
    public Task RunAsync() => PostAsync(() => _wantRun = true);

    /// <summary>Completes when guest code is no longer entered and guest time stands still.</summary>
    public Task PauseAsync() => PostAsync(() =>
    {
        _wantRun = false;
        Leave("paused");
    });

    /// <summary>Ends the thread; completes when it will not touch the machine any more.</summary>
    public async Task FinishAsync()
    {
        if (!_threadGone)
        {
            try
            {
                await PostAsync(() =>
                {
                    Leave("stopped");
                    _finished = true;
                }).ConfigureAwait(false);
            }
            catch (MachineException)
            {
                // It had ended by itself.
            }
        }
        await _gone.Task.ConfigureAwait(false);
    }

    /// <summary>Makes the thread look at its commands, its permit and its interrupts. Any thread.</summary>
    public void LookUp()
    {
        _vcpu.Kick();
        _wake.Wake();
    }

    public void Dispose()
    {
        _alarm?.Dispose();
        _wake.Dispose();
    }

    private void Main()
    {
        HostThread.SetNice(Nice);
        try
        {
            while (!_finished)
                Step();
        }
#pragma warning disable CA1031 // the thread's edge: whatever went wrong ends this machine and nothing else
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Leave("engine failure");
            _finished = true;
            _group.Ended(this, VcpuExit.MachineEnded, failure);
        }
        // The vCPU that it would ring goes as soon as this thread has.
        _alarm?.Dispose();
        _threadGone = true;
        DrainCommands();
        _gone.SetResult();
    }

    private void Step()
    {
        DrainCommands();
        if (_finished)
            return;
        if (!_wantRun)
        {
            Leave("paused");
            Sleep(null);
            return;
        }
        if (!_permit.IsValid)
        {
            Leave("lease expired");
            Sleep(null);
            return;
        }
        _group.Enter(this, _permit.Epoch);
        ulong? deadline = null;
        if (_timers is not null)
            lock (_vcpu.Bus.Gate)
            {
                NoteDelay();
                _timers.RunDue();
                deadline = _timers.NextDeadline;
            }
        if (!_startup.IsStarted() || _group.IsParked(this))
        {
            SleepUntil(deadline);
            return;
        }
        SetAlarm(deadline);
        ulong retired = _vcpu.State.RetiredInstructions;
        long entered = Stopwatch.GetTimestamp();
        VcpuExit left = _clock is InstructionClock counted ? _backend.Run(Budget(counted, deadline)) : _backend.RunSlice(_slice);
        long ticks = Stopwatch.GetTimestamp() - entered;
        Volatile.Write(ref _busyTicks, _busyTicks + ticks);
        FitSlice(_vcpu.State.RetiredInstructions - retired, Stopwatch.GetElapsedTime(0, ticks).TotalNanoseconds);
        switch (left)
        {
            case VcpuExit.Interrupted:
            case VcpuExit.Parked:
                break;
            case VcpuExit.Halted:
                deadline = _timers?.NextDeadline;
                if (_clock is InstructionClock counting && deadline is { } next)
                    counting.SkipTo(next);
                else
                    SleepUntil(deadline);
                break;
            case var exit:
                Leave("guest ended");
                _finished = true;
                _group.Ended(this, exit, null);
                break;
        }
    }

    /// <summary>
    /// Has the slice that begins ended at the next timer, or when the permit ends, even if its instructions turn out slow.
    /// What comes first after a sleep is mostly over soon, and does without.
    /// </summary>
    private void SetAlarm(ulong? deadline)
    {
        if (_goesOn && _clock is HostClock clock)
        {
            long due = deadline is { } next ? clock.TicksAt(next) : SliceAlarm.Never;
            _alarm!.Set(Math.Min(due < SliceAlarm.Never - _grace ? due + _grace : SliceAlarm.Never, _permit.Expires));
        }
        _goesOn = true;
    }

    /// <summary>How late a timer is that has become due since the last look, if the guest was executed in between.</summary>
    private void NoteDelay()
    {
        ulong now = _clock.Nanoseconds;
        if (_looked != ulong.MaxValue && _clock is not InstructionClock && _timers!.NextDeadline is { } due && now > due)
        {
            ulong delay = now - Math.Max(due, Math.Min(_looked, now));
            Delays = new TimerDelays(Math.Max(Delays.Longest, delay), Delays.OverMillisecond + (delay >= Millisecond ? 1u : 0));
        }
        _looked = now;
    }

    private static long Budget(InstructionClock counted, ulong? deadline)
    {
        if (deadline is not { } next)
            return ShortestSlice;
        ulong now = counted.Nanoseconds;
        ulong left = next > now ? (next - now + InstructionClock.NanosecondsPerInstruction - 1) / InstructionClock.NanosecondsPerInstruction : 1;
        return (long)Math.Min(left, ShortestSlice);
    }

    /// <summary>The next slice, by how long the one before took.</summary>
    private void FitSlice(ulong instructions, double nanoseconds)
    {
        // What ended early says little of the guest's speed.
        if (instructions > ShortestSlice / 2)
            _slice = Math.Clamp((long)(instructions * SliceNanoseconds / Math.Max(nanoseconds, 1)), ShortestSlice, Math.Min(2 * _slice, LongestSlice));
    }

    // Sleeps to a guest deadline, to the end of the permit or to a wake, whichever is first.
    private void SleepUntil(ulong? deadline)
    {
        ulong? wait = null;
        if (deadline is { } next && _clock is not InstructionClock)
        {
            ulong now = _clock.Nanoseconds;
            wait = next > now ? next - now : 0;
        }
        long permit = _permit.Expires;
        if (permit != long.MaxValue)
        {
            double left = Math.Max(0, Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), permit).TotalNanoseconds);
            wait = Math.Min(wait ?? ulong.MaxValue, (ulong)left);
        }
        if (wait == 0)
            return;
        Sleep(wait);
    }

    private void Sleep(ulong? nanoseconds)
    {
        _alarm?.Set(SliceAlarm.Never);
        _goesOn = false;
        _wake.Wait(nanoseconds);
        _looked = ulong.MaxValue;
    }

    private void DrainCommands()
    {
        while (_commands.TryDequeue(out Action? command))
            command();
    }

    private void Leave(string reason) => _group.Leave(this, reason);
}

/// <param name="Longest">Nanoseconds from when a timer was due to when it fired, at most.</param>
/// <param name="OverMillisecond">Timers that fired a millisecond late, or later.</param>
public readonly record struct TimerDelays(ulong Longest, ulong OverMillisecond);
