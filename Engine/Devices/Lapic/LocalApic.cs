using Godwit.Engine.Devices.Interrupts;

namespace Godwit.Engine.Devices.Lapic;

/// <summary>
/// A vCPU's local APIC (Intel SDM vol. 3, chapter 11), xAPIC through its page and x2APIC through MSRs. The page stays
/// where it is after reset. Used under the machine lock; registers, MSRs, <see cref="Acknowledge"/> and
/// <see cref="SettlePvEoi"/> on its vCPU's thread only, <see cref="HasInterrupt"/> and <see cref="HasNmi"/> anywhere.
/// The bootstrap processor's APIC starts as firmware leaves it, in virtual wire mode: enabled, LINT0 ExtINT, LINT1 NMI.
/// </summary>
public sealed partial class LocalApic : IInterruptController, IApicTarget, IMmioDevice, ISavedState<LocalApicState>
{
    /// <summary>Guest physical address of the register page, and its length.</summary>
    public const ulong DefaultBase = 0xfee00000;

    public const ulong PageLength = 0x1000;

    // Places in _lvt, after the thermal and performance entries.
    private const int Lint0Entry = 2, Lint1Entry = 3, ErrorEntry = 4;
    private const uint LvtMasked = 1 << 16;
    private const uint LvtLevel = 1 << 15;
    private const uint LvtRemoteIrr = 1 << 14;
    private const uint SoftwareEnable = 1 << 8;
    private const byte SendIllegalVector = 1 << 5, ReceiveIllegalVector = 1 << 6, IllegalRegister = 1 << 7;

    private readonly uint _id;
    private readonly IApicBus _bus;
    private readonly IVectorSource _external;
    private readonly Action _wake;
    private readonly LocalApicTimer _timer;
    private readonly VectorSet _isr = new(), _tmr = new(), _irr = new();
    private readonly uint[] _lvt = new uint[5];
    private uint _tpr, _logicalId, _destinationFormat, _spurious, _errorStatus, _icrLow, _icrHigh;
    private byte _pendingErrors;
    private bool _lint0, _lint1, _externalPending, _initPending, _pvEoiArmed;
    private byte? _startupVector;
    private volatile bool _hasInterrupt;
    private volatile bool _nmiPending;

    /// <param name="id">APIC identifier, below 255; the vCPU's index.</param>
    /// <param name="bootstrap">Whether this is the bootstrap processor's.</param>
    /// <param name="clock">Guest time.</param>
    /// <param name="timers">Makes the APIC timer.</param>
    /// <param name="bus">The way to the other APICs.</param>
    /// <param name="external">Gives the vectors of external interrupts (LINT0).</param>
    /// <param name="wake">Called when something for the vCPU comes to be pending.</param>
    public LocalApic(int id, bool bootstrap, IGuestClock clock, ITimerQueue timers, IApicBus bus, IVectorSource external, Action wake)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(id);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(id, 255);
        _id = (uint)id;
        _bus = bus;
        _external = external;
        _wake = wake;
        _timer = new LocalApicTimer(clock, timers, () => DeliverFixed((byte)_timer!.Lvt, level: false));
        Lint0 = new LocalInput(SetLint0);
        Lint1 = new LocalInput(SetLint1);
        _apicBase = DefaultBase | BaseEnable | (bootstrap ? BaseBootstrap : 0);
        ResetRegisters();
        if (bootstrap)
        {
            _spurious |= SoftwareEnable;
            _lvt[Lint0Entry] = (uint)DeliveryMode.External << 8;
            _lvt[Lint1Entry] = (uint)DeliveryMode.Nmi << 8;
        }
    }

    /// <summary>The local inputs: LINT0 takes the 8259 pair's output.</summary>
    public IInterruptLine Lint0 { get; }

    public IInterruptLine Lint1 { get; }

    /// <summary>KVM's paravirtual EOI, where the machine offers it.</summary>
    public IPvEoi? PvEoi { get; set; }

    public bool HasInterrupt => _hasInterrupt;

    public byte Priority => (byte)ProcessorPriority;

    public byte TaskPriority
    {
        get => (byte)(_tpr >> 4);
        set
        {
            _tpr = (uint)(value & 0xf) << 4;
            Update();
        }
    }

    public bool HasNmi => _nmiPending;

    public bool TakeNmi()
    {
        if (!_nmiPending)
            return false;
        _nmiPending = false;
        return true;
    }

    /// <summary>An INIT message waits; reading takes it. The vCPU resets itself and waits for a start-up message.</summary>
    public bool TakeInit()
    {
        bool pending = _initPending;
        _initPending = false;
        return pending;
    }

    /// <summary>The vector of a start-up message (the code's page number below 1 MiB); reading takes it.</summary>
    public byte? TakeStartup()
    {
        byte? vector = _startupVector;
        _startupVector = null;
        return vector;
    }

    public int Acknowledge()
    {
        if (ExternalWaits)
        {
            _externalPending = false;
            byte external = _external.AcknowledgeVector();
            Update();
            return external;
        }
        SettlePvEoi();
        int highest = Deliverable;
        if (highest < 0)
        {
            Update();
            return -1;
        }
        byte vector = (byte)highest;
        _irr.Remove(vector);
        _isr.Add(vector);
        if (PvEoi is { } pv && _irr.Highest < 0 && _isr.Count == 1 && !_tmr.Contains(vector))
            _pvEoiArmed = pv.TryArm();
        Update();
        return vector;
    }

    /// <summary>
    /// Finds out whether the guest has ended its interrupt by PV EOI, and takes the offer back. The owner of the PV EOI
    /// MSR calls it before the guest's word changes.
    /// </summary>
    public void SettlePvEoi()
    {
        if (!_pvEoiArmed)
            return;
        _pvEoiArmed = false;
        if (PvEoi?.TryConsume() == true)
            EndOfInterrupt();
    }

    public bool Matches(uint destination, bool logical)
    {
        if (destination == ApicBus.Broadcast)
            return true;
        if (X2ApicEnabled)
            return logical
                ? destination >> 16 == X2LogicalId >> 16 && (destination & X2LogicalId & 0xffff) != 0
                : destination == _id;
        destination &= 0xff;
        if (!logical)
            return destination == 0xff || destination == _id;
        uint own = _logicalId >> 24;
        return (_destinationFormat >> 28) switch
        {
            0xf => (destination & own) != 0,
            0 => (destination >> 4 == 0xf || destination >> 4 == own >> 4) && (destination & own & 0xf) != 0,
            _ => false,
        };
    }

    public bool Accept(DeliveryMode mode, byte vector, bool level)
    {
        if (!IsEnabled)
            return false;
        switch (mode)
        {
            case DeliveryMode.Fixed or DeliveryMode.LowestPriority:
                return IsSoftwareEnabled && DeliverFixed(vector, level);
            case DeliveryMode.Nmi:
                _nmiPending = true;
                break;
            case DeliveryMode.Init:
                _initPending = true;
                _startupVector = null;
                ResetRegisters();
                break;
            case DeliveryMode.Startup:
                _startupVector = vector;
                break;
            case DeliveryMode.External:
                _externalPending = true;
                Update();
                return true;
            default:
                // There is no system management mode here.
                return false;
        }
        _wake();
        return true;
    }

    private bool IsSoftwareEnabled => (_spurious & SoftwareEnable) != 0;

    private uint ProcessorPriority
    {
        get
        {
            uint inService = (uint)Math.Max(_isr.Highest, 0) & 0xf0;
            return (_tpr & 0xf0) >= inService ? _tpr : inService;
        }
    }

    /// <summary>The highest requested vector if its class is above the processor priority's, else -1.</summary>
    private int Deliverable => _irr.Highest is var vector && vector >> 4 > (int)ProcessorPriority >> 4 ? vector : -1;

    private bool ExternalWaits =>
        _externalPending
        || (_lint0 && (!IsEnabled || ((_lvt[Lint0Entry] & LvtMasked) == 0 && Mode(_lvt[Lint0Entry]) == DeliveryMode.External)));

    private static DeliveryMode Mode(uint entry) => (DeliveryMode)(entry >> 8 & 7);

    /// <summary>
    /// While a PV EOI is offered only the vCPU's own thread may look at the guest's word, so what is in service may have
    /// ended already: say that an interrupt waits, and <see cref="Acknowledge"/> finds out.
    /// </summary>
    private bool MayDeliver => _pvEoiArmed ? _irr.Highest >> 4 > (int)_tpr >> 4 : Deliverable >= 0;

    private void Update()
    {
        bool pending = ExternalWaits || (IsEnabled && MayDeliver);
        bool rises = pending && !_hasInterrupt;
        _hasInterrupt = pending;
        if (rises)
            _wake();
    }

    private bool DeliverFixed(byte vector, bool level)
    {
        if (vector < 16)
        {
            Raise(ReceiveIllegalVector);
            return false;
        }
        _irr.Add(vector);
        if (level)
            _tmr.Add(vector);
        else
            _tmr.Remove(vector);
        Update();
        return true;
    }

    private void Raise(byte error)
    {
        _pendingErrors |= error;
        uint entry = _lvt[ErrorEntry];
        // An error vector that is itself illegal is recorded, not raised again.
        if ((entry & LvtMasked) != 0)
            return;
        if ((entry & 0xff) < 16)
            _pendingErrors |= ReceiveIllegalVector;
        else
            DeliverFixed((byte)entry, level: false);
    }

    private void EndOfInterrupt()
    {
        int highest = _isr.Highest;
        if (highest < 0)
            return;
        byte vector = (byte)highest;
        _isr.Remove(vector);
        if (_tmr.Contains(vector))
            EndLevel(vector);
        Update();
    }

    private void EndLevel(byte vector)
    {
        if ((_lvt[Lint0Entry] & LvtRemoteIrr) != 0 && (byte)_lvt[Lint0Entry] == vector)
        {
            _lvt[Lint0Entry] &= ~LvtRemoteIrr;
            DriveLint0(rises: false);
        }
        _bus.EndOfInterrupt(vector);
    }

    private void SetLint0(bool level)
    {
        bool rises = level && !_lint0;
        _lint0 = level;
        DriveLint0(rises);
        Update();
    }

    /// <summary>LINT0 in a mode other than ExtINT, which <see cref="ExternalWaits"/> looks at.</summary>
    private void DriveLint0(bool rises)
    {
        uint entry = _lvt[Lint0Entry];
        if (!_lint0 || (entry & LvtMasked) != 0 || !IsEnabled)
            return;
        if (Mode(entry) != DeliveryMode.Fixed || (entry & LvtLevel) == 0)
        {
            if (rises && Mode(entry) != DeliveryMode.External)
                Accept(Mode(entry), (byte)entry, level: false);
        }
        else if ((entry & LvtRemoteIrr) == 0 && DeliverFixed((byte)entry, level: true))
            _lvt[Lint0Entry] |= LvtRemoteIrr;
    }

    private void SetLint1(bool level)
    {
        bool rises = level && !_lint1;
        _lint1 = level;
        uint entry = _lvt[Lint1Entry];
        // LINT1 is always edge-triggered; an ExtINT there has no 8259 behind it.
        if (rises && (entry & LvtMasked) == 0 && IsEnabled && Mode(entry) != DeliveryMode.External)
            Accept(Mode(entry), (byte)entry, level: false);
    }

    private sealed class LocalInput(Action<bool> set) : IInterruptLine
    {
        public void Set(bool level) => set(level);
    }
}
