using System.Diagnostics;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Acpi;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Devices.Platform;
using Godwit.Engine.Devices.Power;
using Godwit.Engine.Devices.Serial;
using Godwit.Engine.Devices.Timers;
using Godwit.Engine.Memory;
using Godwit.Engine.Migration;
using Godwit.Engine.Paravirt;
using MessagePack;

namespace Godwit.Engine.Machine;

/// <summary>
/// A PC built from its spec: RAM, devices, the paravirtual interface, vCPUs and their threads. It starts paused; boot
/// images or a saved state come next.
/// </summary>
public sealed class VirtualMachine : IMigratableMachine, IAsyncDisposable
{
    private readonly StateRegistry _state = new();
    private readonly EventLog _events;
    private readonly TaskCompletionSource<MachineEnding> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly IMachineClock _clock;
    private readonly PcPlatform _platform;
    private readonly Hypercalls _hypercalls;
    private readonly Processor[] _processors;
    private readonly VcpuThread[] _threads;
    private readonly VcpuGroup _group;
    private readonly Lock _gate;
    private readonly Lock _release = new();
    private bool _released;
    private MachineEnding? _ending;
    private bool _clockMoved;
    private int _finished;

    /// <summary>Builds the machine; throws <see cref="MachineException"/> for a spec that cannot be run here.</summary>
    public VirtualMachine(MachineSpec spec, string name = "vm", BackendKind? backend = null)
        : this(spec, new RunPermit(), new EventLog(), name, Backends.OfMachine(backend ?? Backends.Default))
    {
    }

    internal VirtualMachine(MachineSpec spec, RunPermit permit, EventLog events, string name, Func<Vcpu, IVcpuBackend> backend)
    {
        MachineSpecs.Validate(spec);
        Spec = spec;
        Permit = permit;
        _events = events;
        Memory = Allocate(spec);
        Bus[] buses = new Bus[spec.VcpuCount];
        for (int i = 0; i < buses.Length; i++)
            buses[i] = new Bus(i == 0 ? null : buses[0].Gate);
        _clock = spec.Clock == ClockMode.InstructionCount
            ? new InstructionClock(spec.TscHz, () => _processors?[0].Vcpu.State.RetiredInstructions ?? 0)
            : new HostClock(spec.TscHz);
        SafePoints safePoints = new();
        _group = new VcpuGroup(_clock, safePoints, new Observer(this));
        TimerQueue timers = new(_clock) { EarlierDeadline = () => _group.LookUp(0) };
        _platform = new PcPlatform(buses, _clock, timers, new Control(this), new Serial(Console), _group.LookUp);
        LocalApic first = _platform.LocalApics[0];
        _hypercalls = new Hypercalls(_gate = buses[0].Gate, Memory, vector => first.Accept(DeliveryMode.Fixed, vector, level: false), new HypercallSink(this), _group.AfterInstruction);
        // After the instruction: devices hold the machine lock, and vCPUs that wait for it are at no safe point.
        _hypercalls.PagesFreed += Memory.Dirty.DeclareFree;
        _hypercalls.Unparked += _group.LookUp;
        _processors = [.. buses.Select((bus, i) => new Processor(i, spec, Memory, bus, _platform.LocalApics[i], _clock, safePoints, backend))];
        foreach (Processor processor in _processors)
        {
            _hypercalls.AttachVcpu(processor.Registers);
            processor.Vcpu.Bus.MapPorts(GodwitInterface.DoorbellPort, 1, new HypercallDoorbell(_hypercalls, () => processor.Registers, () => processor.Vcpu.RequestExit(VcpuExit.Parked)), "hypercall doorbell");
        }
        Register();
        _threads = [.. _processors.Select((p, i) => new VcpuThread($"{name}/vcpu{i}", p.Vcpu, p.Backend, i == 0 ? timers : null, p.Startup, _clock, Permit, _group))];
        _group.Start(_threads);
        Memory.Dirty.Attach(_group);
    }

    public MachineSpec Spec { get; }

    public GuestMemory Memory { get; }

    public IGuestHandshake Guest => _hypercalls;

    public ConsoleRing Console { get; } = new();

    public RunPermit Permit { get; }

    public ulong GuestNanoseconds => _clock.Nanoseconds;

    public long ConsoleEnd => Console.Length;

    /// <summary>What the machine uses and has done; zero once it is released. Any thread.</summary>
    public MachineUsage Usage
    {
        get
        {
            lock (_release)
                return _released ? default : new MachineUsage(Memory.ResidentBytes, Retired(), _clock.Nanoseconds, Busy(), _threads[0].Delays);
        }
    }

    /// <summary>Completes when the guest, or the engine under it, has ended the machine; never after <see cref="DisposeAsync"/> alone.</summary>
    public Task<MachineEnding> Ended => _ended.Task;

    /// <summary>What happens in the machine, in order; one reader.</summary>
    public IAsyncEnumerable<MachineEvent> Events => _events.ReadAllAsync();

    /// <summary>Loads boot images into a machine that has never run.</summary>
    public void Boot(BootImages images)
    {
        lock (_gate)
        {
            AcpiTables tables = AcpiTables.Build(new AcpiConfiguration(Spec.VcpuCount));
            if (!tables.TryWrite((address, content) => Memory.TryWrite(new GuestPhysicalAddress(address), content.Span)))
                throw new MachineException($"{Spec.MemoryBytes >> 20} MiB are too little for the ACPI tables");
            GuestLoader.Load(Spec, Memory, images, new GuestPhysicalAddress(AcpiTables.RootPointer), _processors[0].Vcpu);
        }
        Reset();
    }

    /// <summary>Enters guest code, as long as the permit lasts.</summary>
    public Task RunAsync() => _group.RunAsync();

    public Task PauseAsync() => _group.PauseAsync();

    public void Resume(TimeSpan elapsed)
    {
        long moved = (long)_clock.Nanoseconds + (long)elapsed.TotalNanoseconds;
        lock (_gate)
        {
            // Counted time knows nothing of the world's.
            if (elapsed != TimeSpan.Zero && Spec.Clock == ClockMode.Host)
                _clock.Set((ulong)Math.Max(0, moved));
            // The guest's clock page has an anchor in the past, and its watchdogs must know that they were not to blame.
            _clockMoved = true;
        }
        _ = _group.RunAsync();
    }

    public IReadOnlyList<StateSection> SaveState()
    {
        lock (_gate)
            return _state.Save();
    }

    public void LoadState(IReadOnlyList<StateSection> sections)
    {
        lock (_gate)
            _state.Load(sections);
        Reset();
    }

    /// <summary>Bytes typed at the serial console; returns how many were taken.</summary>
    public int TypeAtConsole(ReadOnlySpan<byte> input)
    {
        int taken;
        lock (_gate)
            taken = _platform.Uart.Receive(input);
        _group.LookUp(0);
        return taken;
    }

    /// <summary>Lets a changed permit be seen at once.</summary>
    public void LookUp() => _group.LookUp();

    /// <summary>Ends the machine and releases its memory.</summary>
    public async ValueTask DisposeAsync()
    {
        await _group.FinishAsync().ConfigureAwait(false);
        Memory.Dirty.Detach(_group);
        Console.Close();
        lock (_release)
        {
            if (_released)
                return;
            _released = true;
            foreach (Processor processor in _processors)
                processor.Dispose();
            _group.Dispose();
            Memory.Dispose();
        }
    }

    private static GuestMemory Allocate(MachineSpec spec)
    {
        try
        {
            return new GuestMemory(spec.MemoryBytes);
        }
        catch (InvalidOperationException failure)
        {
            throw new MachineException(failure.Message, failure);
        }
    }

    private void Register()
    {
        // In this order: counted time is counted from the vCPU's instructions, and devices arm their timers by the clock.
        foreach (Vcpu vcpu in _processors.Select(processor => processor.Vcpu))
            _state.Add($"vcpu{vcpu.Index}", vcpu.SaveState, vcpu.LoadState);
        _state.Add("clock", () => new ClockState { Nanoseconds = _clock.Nanoseconds }, LoadClock);
        _state.Add("platform", _platform);
        foreach (Processor processor in _processors)
            _state.Add(processor.Vcpu.Index == 0 ? "kvm" : $"kvm{processor.Vcpu.Index}", processor.KvmMsrs);
        if (_processors.Length > 1)
            _state.Add("startup", () => new StartupState { Waits = [.. _processors.Select(p => p.Startup.Waits)] }, LoadStartup);
        _state.Add("hypercalls", _hypercalls);
        _state.Add<ConsoleState>("console", Console.SaveState, Console.LoadState);
    }

    private void LoadStartup(StartupState state)
    {
        if (state.Waits?.Length != _processors.Length)
            throw new InvalidStateException($"startup: there must be {_processors.Length} vCPUs");
        for (int i = 0; i < _processors.Length; i++)
            _processors[i].Startup.Waits = state.Waits[i];
    }

    private void Reset()
    {
        foreach (Processor processor in _processors)
            processor.Backend.Reset();
    }

    private ulong Retired() => (ulong)_processors.Sum(processor => (long)processor.Vcpu.State.RetiredInstructions);

    private ulong Busy() => (ulong)_threads.Sum(thread => (long)thread.BusyNanoseconds);

    private void LoadClock(ClockState state) => _clock.Set(state.Nanoseconds);

    // Under the machine lock, from a device in the middle of an instruction.
    private void End(MachineEnding ending)
    {
        _ending ??= ending;
        _group.RequestExit(VcpuExit.MachineEnded);
    }

    // Of several vCPUs each tells; the first one counts, and ends the others.
    private void Finish(Vcpu vcpu, VcpuExit exit, Exception? failure)
    {
        if (Interlocked.Exchange(ref _finished, 1) != 0)
            return;
        MachineEnding ending = failure is not null
            ? new MachineEnding($"the engine failed: {failure.GetType().Name}: {failure.Message}", null)
            : _ending ?? new MachineEnding(exit == VcpuExit.Shutdown ? DescribeShutdown(vcpu) : $"the vCPU stopped: {exit}", null);
        _events.Add(new MachineEnded(Stopwatch.GetTimestamp(), ending.Reason, ending.ExitCode));
        // The end is known before the console's readers are told that no byte will follow.
        _ended.TrySetResult(ending);
        Console.Close();
        _group.RequestExit(VcpuExit.MachineEnded);
    }

    private static string DescribeShutdown(Vcpu vcpu)
    {
        ref CpuState state = ref vcpu.State;
        return $"the guest's processor shut down (triple fault) at {state.Cs.Selector:x}:{state.Rip:x}, CR2 {state.Cr2:x}, CR3 {state.Cr3:x}, after {state.RetiredInstructions} instructions";
    }

    private sealed class Observer(VirtualMachine machine) : IVcpuObserver
    {
        public bool IsParked(int vcpu) => machine._hypercalls.IsParked(vcpu);

        public void RunStarted(long epoch) => machine._events.Add(new RunStarted(Stopwatch.GetTimestamp(), epoch));

        public void Entering()
        {
            lock (machine._gate)
                foreach (Processor processor in machine._processors)
                    processor.KvmMsrs.Resumed(machine._clockMoved);
            machine._clockMoved = false;
        }

        public void RunStopped(long epoch, string reason) => machine._events.Add(new RunStopped(Stopwatch.GetTimestamp(), epoch, reason));

        public void Ended(Vcpu vcpu, VcpuExit exit, Exception? failure) => machine.Finish(vcpu, exit, failure);
    }

    private sealed class Control(VirtualMachine machine) : IMachineControl
    {
        public void PowerOff() => machine.End(new MachineEnding("the guest powered off", 0));

        public void Reset() => machine.End(new MachineEnding("the guest reset its machine", null));

        public void Exit(int code) => machine.End(new MachineEnding($"the guest wrote to the debug-exit port: exit code {code}", code));
    }

    private sealed class Serial(ConsoleRing console) : IConsoleSink
    {
        public void Write(byte value) => console.Write([value]);
    }

    private sealed class HypercallSink(VirtualMachine machine) : IHypercallSink
    {
        public void ConsoleBytes(ReadOnlySpan<byte> bytes) => machine.Console.Write(bytes);

        public void Logged(ulong code, ulong value)
        {
            // A silo that was frozen in the middle of a slice goes on with it when it is thawed: its permit has ended, and
            // what the guest says in the rest of the slice is not said under it.
            if (machine.Permit.IsValid)
                machine._events.Add(new GuestLogged(Stopwatch.GetTimestamp(), machine.Permit.Epoch, machine._clock.Nanoseconds, code, value));
        }
    }
}

/// <param name="ResidentBytes">Bytes of RAM that have been touched.</param>
/// <param name="RetiredInstructions">Guest instructions since boot.</param>
/// <param name="GuestNanoseconds">Guest time.</param>
/// <param name="BusyNanoseconds">Host time in which a vCPU was not halted.</param>
/// <param name="TimerDelays">How late timers were while the guest ran.</param>
public readonly record struct MachineUsage(long ResidentBytes, ulong RetiredInstructions, ulong GuestNanoseconds, ulong BusyNanoseconds, TimerDelays TimerDelays);

/// <summary>Saved guest time. Keys are append-only.</summary>
[MessagePackObject]
public sealed record ClockState
{
    [Key(0)]
    public required ulong Nanoseconds { get; init; }
}
