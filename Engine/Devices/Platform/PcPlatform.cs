using Godwit.Engine.Devices.Cmos;
using Godwit.Engine.Devices.DebugPort;
using Godwit.Engine.Devices.Interrupts;
using Godwit.Engine.Devices.Ioapic;
using Godwit.Engine.Devices.Keyboard;
using Godwit.Engine.Devices.Lapic;
using Godwit.Engine.Devices.Pic;
using Godwit.Engine.Devices.Pit;
using Godwit.Engine.Devices.Power;
using Godwit.Engine.Devices.Serial;

namespace Godwit.Engine.Devices.Platform;

/// <summary>
/// The devices that every machine has, wired together and put on its bus. The order in which they are made is part of
/// what makes two runs agree: timers with equal deadlines run in it.
/// </summary>
public sealed class PcPlatform : ISavedState<PlatformState>
{
    private readonly LocalApic[] _localApics;

    /// <param name="buses">
    /// Take the ports and pages, one for each vCPU: all are alike but for the local APIC, which each vCPU has its own of.
    /// Their identifiers count from 0, which is the bootstrap processor's.
    /// </param>
    /// <param name="clock">Guest time.</param>
    /// <param name="timers">Guest timers.</param>
    /// <param name="machine">Told when the guest ends its machine.</param>
    /// <param name="console">Takes the serial output.</param>
    /// <param name="wake">Called with a vCPU's index when something for it comes to be pending.</param>
    public PcPlatform(IReadOnlyList<Bus> buses, IGuestClock clock, ITimerQueue timers, IMachineControl machine, IConsoleSink console, Action<int> wake)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(buses.Count, 1);
        ApicBus apicBus = new();
        IoApic = new IoApic(apicBus);
        apicBus.LevelEnded = IoApic.EndOfInterrupt;
        Pic = new Pic8259(new Lint0Line(this));
        _localApics = new LocalApic[buses.Count];
        for (int i = 0; i < buses.Count; i++)
        {
            int vcpu = i;
            _localApics[i] = new LocalApic(i, i == 0, clock, timers, apicBus, Pic, () => wake(vcpu));
            apicBus.Attach(_localApics[i]);
        }
        Router = new InterruptRouter(Pic, IoApic);
        Pit = new Pit8254(clock, timers, Router.Line(0));
        Rtc = new Rtc(clock, timers, Router.Line(Rtc.Interrupt));
        Uart = new Uart16550(Router.Line(Uart16550.Com1Interrupt), console);
        Pm = new AcpiPm(clock, timers, Router.Line(AcpiPm.Interrupt), machine);
        ResetPort = new ResetPort(machine);
        Keyboard = new I8042(machine);
        Post = new PostPort();
        DebugExit debugExit = new(machine);
        for (int i = 0; i < buses.Count; i++)
            Map(buses[i], _localApics[i], debugExit);
    }

    /// <summary>Lines for further devices: 16 to 23 are free, and so are 3, 5 to 7, 10 and 11.</summary>
    public InterruptRouter Router { get; }

    public IReadOnlyList<LocalApic> LocalApics => _localApics;

    public IoApic IoApic { get; }

    public Pic8259 Pic { get; }

    public Pit8254 Pit { get; }

    public Rtc Rtc { get; }

    public Uart16550 Uart { get; }

    public AcpiPm Pm { get; }

    public ResetPort ResetPort { get; }

    public I8042 Keyboard { get; }

    public PostPort Post { get; }

    public PlatformState SaveState() => new()
    {
        LocalApics = [.. _localApics.Select(apic => apic.SaveState())],
        IoApic = IoApic.SaveState(),
        Pic = Pic.SaveState(),
        Pit = Pit.SaveState(),
        Rtc = Rtc.SaveState(),
        Uart = Uart.SaveState(),
        Pm = Pm.SaveState(),
        ResetPort = ResetPort.SaveState(),
        Keyboard = Keyboard.SaveState(),
        Post = Post.SaveState(),
    };

    /// <remarks>The clock must already stand at the saved time: devices arm their timers from it.</remarks>
    public void LoadState(PlatformState state)
    {
        if (state.LocalApics?.Length != _localApics.Length)
            throw new InvalidStateException($"platform: there must be {_localApics.Length} local APICs");
        Pic.LoadState(Present(state.Pic));
        IoApic.LoadState(Present(state.IoApic));
        for (int i = 0; i < _localApics.Length; i++)
            _localApics[i].LoadState(Present(state.LocalApics[i]));
        Pit.LoadState(Present(state.Pit));
        Rtc.LoadState(Present(state.Rtc));
        Uart.LoadState(Present(state.Uart));
        Pm.LoadState(Present(state.Pm));
        ResetPort.LoadState(Present(state.ResetPort));
        Keyboard.LoadState(Present(state.Keyboard));
        Post.LoadState(Present(state.Post));
    }

    private static T Present<T>(T? state)
        where T : class => state ?? throw new InvalidStateException($"platform: {typeof(T).Name} is missing");

    private void Map(Bus bus, LocalApic localApic, DebugExit debugExit)
    {
        MapPorts(bus, Pic8259.MasterPort, Pic.MasterPorts, "8259 master");
        MapPorts(bus, Pic8259.SlavePort, Pic.SlavePorts, "8259 slave");
        MapPorts(bus, Pic8259.TriggerPort, Pic.TriggerPorts, "8259 trigger modes");
        MapPorts(bus, Pit8254.CounterPort, Pit.CounterPorts, "8254");
        MapPorts(bus, Pit8254.ControlPort, Pit.ControlPorts, "port 0x61");
        MapPorts(bus, Rtc.Port, Rtc.Ports, "RTC");
        MapPorts(bus, Uart16550.Com1Port, Uart.Ports, "COM1");
        MapPorts(bus, ResetPort.Port, ResetPort.Ports, "reset port");
        MapPorts(bus, I8042.DataPort, Keyboard.DataPorts, "8042 data");
        MapPorts(bus, I8042.CommandPort, Keyboard.CommandPorts, "8042 command");
        MapPorts(bus, PostPort.Port, Post.Ports, "POST");
        bus.MapPorts(AcpiPm.Port, AcpiPm.PortCount, Pm.Device, "ACPI PM");
        bus.MapPorts(DebugExit.Port, DebugExit.PortCount, debugExit, "debug exit");
        bus.MapMmio(IoApic.DefaultBase, IoApic.PageLength, IoApic, "I/O APIC");
        bus.MapMmio(LocalApic.DefaultBase, LocalApic.PageLength, localApic, "local APIC");
    }

    private static void MapPorts(Bus bus, ushort first, BytePorts ports, string name) => bus.MapPorts(first, ports.Count, ports, name);

    /// <summary>The 8259 pair is made before the APICs it feeds.</summary>
    private sealed class Lint0Line(PcPlatform platform) : IInterruptLine
    {
        public void Set(bool level) => platform._localApics[0].Lint0.Set(level);
    }
}
