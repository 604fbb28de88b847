using System.Text;
using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Platform;
using Godwit.Engine.Devices.Power;
using Godwit.Engine.Devices.Serial;
using Godwit.Engine.Devices.Timers;
using Godwit.Engine.Interpreter;
using Godwit.Engine.Machine;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Godwit.Engine.Paravirt;
using Godwit.Engine.Paravirt.BuiltinGuest;

namespace Godwit.Engine.Tests.Paravirt;

/// <summary>
/// The built-in guest on the interpreter, driven step by step on the test's own thread; time is counted in instructions,
/// so that every run is the same.
/// </summary>
internal sealed unsafe class GuestMachine : IDisposable
{
    private const long Slice = 20_000;

    private readonly Vcpu _vcpu;
    private readonly InterpreterBackend _backend;
    private readonly CountingClock _clock;
    private readonly TimerQueue _timers;
    private readonly PcPlatform _platform;
    private readonly StringBuilder _serial = new();

    public GuestMachine(string commandLine, bool paravirtual = true, ulong ram = 8 << 20)
    {
        Memory = new GuestMemory(ram);
        Bus bus = new();
        _clock = new CountingClock(() => _vcpu is null ? 0 : _vcpu.Context->State.RetiredInstructions);
        _timers = new TimerQueue(_clock);
        _platform = new PcPlatform([bus], _clock, _timers, new Control(this), new SerialSink(_serial), _ => _vcpu?.Kick());
        Sink = new RecordingSink();
        Calls = new Hypercalls(bus.Gate, Memory, vector => _platform.LocalApics[0].Accept(DeliveryMode.Fixed, vector, level: false), Sink);
        Msrs = new KvmMsrs(Memory, _clock, () => _vcpu!.Context->State.TscAdjust, _platform.LocalApics[0].SettlePvEoi);
        _platform.LocalApics[0].PvEoi = Msrs.PvEoi;
        _vcpu = new Vcpu(Memory, bus, _platform.LocalApics[0], _clock, new Services(paravirtual ? Msrs : null));
        Registers registers = new(_vcpu);
        Calls.AttachVcpu(registers);
        bus.MapPorts(GodwitInterface.DoorbellPort, 1, new HypercallDoorbell(Calls, () => registers, () => _vcpu.RequestExit(VcpuExit.Parked)), "doorbell");
        _backend = new InterpreterBackend(_vcpu);
        CpuReset.Apply(ref _vcpu.Context->State);
        BootEntry entry = BuiltinGuestLoader.Load(Memory, commandLine, _clock.TscHz);
        CpuReset.EnterFlat64(ref _vcpu.Context->State, entry.Rip, entry.Cr3, entry.CodeSelector, entry.DataSelector);
    }

    public GuestMemory Memory { get; }

    public Hypercalls Calls { get; }

    public KvmMsrs Msrs { get; }

    public RecordingSink Sink { get; }

    /// <summary>What the guest wrote to the debug-exit port, as the machine's exit code.</summary>
    public int? ExitCode { get; private set; }

    public VcpuExit LastExit { get; private set; }

    public ulong Nanoseconds => _clock.Nanoseconds;

    public ulong Retired => _vcpu.Context->State.RetiredInstructions;

    /// <summary>Lines written by ConsoleWrite.</summary>
    public string[] Lines => Encoding.ASCII.GetString([.. Sink.Console]).Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Lines written to the serial port.</summary>
    public string[] SerialLines => _serial.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);

    /// <summary>Time passes while the guest stands still, as in a move.</summary>
    public void StandStill(ulong nanoseconds)
    {
        _clock.Skip(nanoseconds);
        Msrs.Resumed(stopped: true);
    }

    /// <summary>Runs until a condition holds, the machine ends or the vCPU parks; fails after a limit of guest time.</summary>
    public void RunUntil(Func<bool> condition, ulong limitNanoseconds = 2_000_000_000)
    {
        ulong limit = _clock.Nanoseconds + limitNanoseconds;
        while (!condition() && ExitCode is null && !Calls.IsParked(0))
        {
            if (_clock.Nanoseconds > limit)
                throw new InvalidOperationException($"the guest did not get there in {limitNanoseconds} ns; its last lines: {string.Join(" | ", Lines.TakeLast(3))}");
            _timers.RunDue();
            LastExit = _backend.Run(Budget());
            if (LastExit == VcpuExit.Shutdown)
                throw new InvalidOperationException($"triple fault at 0x{_vcpu.Context->State.Rip:x}");
            if (LastExit == VcpuExit.Halted && _timers.NextDeadline is { } wake)
                _clock.SkipTo(wake);
        }
    }

    /// <summary>Runs until the guest has written that many tick lines.</summary>
    public void RunToTick(int tick) => RunUntil(() => Sink.Marks.Any(mark => mark == (1ul, (ulong)tick)));

    public void Dispose()
    {
        _backend.Dispose();
        _vcpu.Dispose();
        Memory.Dispose();
    }

    private long Budget()
    {
        ulong now = _clock.Nanoseconds;
        return _timers.NextDeadline is { } next && next > now
            ? (long)Math.Min((next - now) / CountingClock.PerInstruction + 1, Slice)
            : Slice;
    }

    private sealed class Registers(Vcpu vcpu) : IHypercallContext
    {
        public ulong Rax
        {
            get => vcpu.Context->State.Gpr[Gpr.RAX];
            set => vcpu.Context->State.Gpr[Gpr.RAX] = value;
        }

        public ulong Rbx => vcpu.Context->State.Gpr[Gpr.RBX];

        public ulong Rcx => vcpu.Context->State.Gpr[Gpr.RCX];

        public ulong Rsi => vcpu.Context->State.Gpr[Gpr.RSI];

        public int Cpl => vcpu.Context->State.Cpl;
    }

    private sealed class Services(KvmMsrs? msrs) : IVcpuServices
    {
        public CpuidResult Cpuid(uint leaf, uint subleaf)
        {
            if (leaf >> 28 != 4)
                return CpuidModel.Query(CpuLevel.V1, leaf, subleaf);
            return msrs is not null && ParavirtCpuid.Leaf(leaf, subleaf) is { } found
                ? new CpuidResult(found.Eax, found.Ebx, found.Ecx, found.Edx)
                : default;
        }

        public bool ReadMsr(uint index, out ulong value)
        {
            value = 0;
            return msrs is not null && msrs.ReadMsr(index, out value);
        }

        public bool WriteMsr(uint index, ulong value) => msrs is not null && msrs.WriteMsr(index, value);

        public void Hypercall(Vcpu vcpu) => Hypercalls.VmCall(new Registers(vcpu));

        public ulong Random() => 4; // nothing here draws one
    }

    private sealed class CountingClock(Func<ulong> retired) : IGuestClock
    {
        public const ulong PerInstruction = 10;

        private ulong _skipped;

        public ulong Nanoseconds => _skipped + retired() * PerInstruction;

        public ulong TscHz => 2_400_000_000;

        public ulong Tsc => (ulong)((UInt128)Nanoseconds * TscHz / 1_000_000_000);

        public ulong WallNanoseconds => 1_700_000_000_000_000_000 + Nanoseconds;

        public void Skip(ulong nanoseconds) => _skipped += nanoseconds;

        public void SkipTo(ulong nanoseconds)
        {
            ulong now = Nanoseconds;
            if (nanoseconds > now)
                _skipped += nanoseconds - now;
        }
    }

    private sealed class Control(GuestMachine machine) : IMachineControl
    {
        public void PowerOff() => Exit(-1);

        public void Reset() => Exit(-2);

        public void Exit(int code)
        {
            machine.ExitCode = code;
            machine._vcpu.RequestExit(VcpuExit.MachineEnded);
        }
    }

    private sealed class SerialSink(StringBuilder text) : IConsoleSink
    {
        public void Write(byte value) => text.Append((char)value);
    }
}
