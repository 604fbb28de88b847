using Godwit.Engine.Devices.Interrupts;

namespace Godwit.Engine.Devices.Lapic;

/// <summary>The register interface: the xAPIC page, IA32_APIC_BASE, IA32_TSC_DEADLINE and the x2APIC MSRs.</summary>
public sealed partial class LocalApic
{
    private const uint MsrApicBase = 0x1b, MsrTscDeadline = 0x6e0, MsrX2ApicFirst = 0x800, MsrX2ApicLast = 0x8ff;
    private const ulong BaseBootstrap = 1 << 8, BaseX2Apic = 1 << 10, BaseEnable = 1 << 11;

    /// <summary>Version 0x14 (integrated), six LVT entries, no EOI broadcast suppression.</summary>
    private const uint Version = 0x00050014;

    // Register numbers: page offset / 16, and x2APIC MSR - 0x800.
    private const int Id = 0x02, VersionRegister = 0x03, Tpr = 0x08, Arbitration = 0x09, Ppr = 0x0a, Eoi = 0x0b,
        LogicalDestination = 0x0d, DestinationFormat = 0x0e, Spurious = 0x0f, Isr = 0x10, Tmr = 0x18, Irr = 0x20,
        ErrorStatus = 0x28, IcrLow = 0x30, IcrHigh = 0x31, LvtTimer = 0x32, LvtFirst = 0x33, LvtLast = 0x37,
        InitialCount = 0x38, CurrentCount = 0x39, DivideConfiguration = 0x3e, SelfIpi = 0x3f, RegisterCount = 0x40;

    private const uint SpuriousMask = 0x1ff, IcrMask = 0xccfff, IcrDeliveryStatus = 1 << 12;
    private const uint LvtReadOnly = 1 << 12 | LvtRemoteIrr;

    private static readonly uint[] LvtMasks = [0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff];

    private ulong _apicBase;

    private bool IsEnabled => (_apicBase & BaseEnable) != 0;

    private bool X2ApicEnabled => (_apicBase & (BaseEnable | BaseX2Apic)) == (BaseEnable | BaseX2Apic);

    private uint X2LogicalId => _id >> 4 << 16 | 1u << (int)(_id & 0xf);

    public ulong ReadMmio(ulong offset, int size)
    {
        if (!IsEnabled || X2ApicEnabled)
            return ulong.MaxValue >> (64 - size * 8);
        int within = (int)(offset & 0xf);
        if (within >= 4)
            return 0;
        if (!ReadRegister((int)(offset >> 4), out uint value))
            Raise(IllegalRegister);
        return (ulong)value >> (8 * within) & ulong.MaxValue >> (64 - size * 8);
    }

    public void WriteMmio(ulong offset, int size, ulong value)
    {
        // Registers take aligned 32-bit writes; anything else is undefined and ignored here.
        if (!IsEnabled || X2ApicEnabled || (offset & 0xf) != 0 || size < 4)
            return;
        if (!WriteRegister((int)(offset >> 4), (uint)value))
            Raise(IllegalRegister);
    }

    public bool ReadMsr(uint index, out ulong value)
    {
        value = 0;
        switch (index)
        {
            case MsrApicBase:
                value = _apicBase;
                return true;
            case MsrTscDeadline:
                value = _timer.TscDeadline;
                return true;
            case < MsrX2ApicFirst or > MsrX2ApicLast:
                return false;
        }
        int register = (int)(index - MsrX2ApicFirst);
        if (!X2ApicEnabled || register is Eoi or SelfIpi or Arbitration or DestinationFormat or IcrHigh)
            return false;
        if (!ReadRegister(register, out uint low))
            return false;
        value = register == IcrLow ? (ulong)_icrHigh << 32 | low : low;
        return true;
    }

    public bool WriteMsr(uint index, ulong value)
    {
        switch (index)
        {
            case MsrApicBase:
                return WriteBase(value);
            case MsrTscDeadline:
                _timer.TscDeadline = value;
                return true;
            case < MsrX2ApicFirst or > MsrX2ApicLast:
                return false;
        }
        int register = (int)(index - MsrX2ApicFirst);
        if (!X2ApicEnabled || !IsValidX2Write(register, value))
            return false;
        if (register == SelfIpi)
        {
            _bus.Send(new InterruptMessage(_id, false, DeliveryMode.Fixed, (byte)value, false), DestinationShorthand.Self, this);
            return true;
        }
        if (register == IcrLow)
            _icrHigh = (uint)(value >> 32);
        return WriteRegister(register, (uint)value);
    }

    /// <summary>Reserved bits in x2APIC mode are a #GP (Intel SDM vol. 3, 11.12.1.3).</summary>
    private static bool IsValidX2Write(int register, ulong value) => register switch
    {
        Tpr or SelfIpi => value <= 0xff,
        Eoi or ErrorStatus => value == 0,
        Spurious => (value & ~(ulong)SpuriousMask) == 0,
        IcrLow => ((uint)value & ~(IcrMask | IcrDeliveryStatus)) == 0,
        LvtTimer => (value & ~(ulong)(LocalApicTimer.LvtMask | LvtReadOnly)) == 0,
        >= LvtFirst and <= LvtLast => (value & ~(ulong)(LvtMasks[register - LvtFirst] | LvtReadOnly)) == 0,
        InitialCount => value <= uint.MaxValue,
        DivideConfiguration => (value & ~(ulong)LocalApicTimer.DivideMask) == 0,
        _ => false,
    };

    /// <summary>
    /// IA32_APIC_BASE: from disabled one goes to xAPIC, from there to x2APIC, and from there only to disabled
    /// (Intel SDM vol. 3, 11.12.5). Moving the page is refused.
    /// </summary>
    private bool WriteBase(ulong value)
    {
        if (!IsValidBase(value))
            return false;
        bool toX2 = (value & BaseX2Apic) != 0;
        bool toEnabled = (value & BaseEnable) != 0;
        if (toX2 && !IsEnabled || X2ApicEnabled && toEnabled && !toX2)
            return false;
        bool wasEnabled = IsEnabled;
        _apicBase = value;
        if (wasEnabled && !toEnabled)
            ResetRegisters();
        Update();
        return true;
    }

    private static bool IsValidBase(ulong value) =>
        (value & ~(BaseBootstrap | BaseX2Apic | BaseEnable)) == DefaultBase && (value & (BaseX2Apic | BaseEnable)) != BaseX2Apic;

    private bool ReadRegister(int register, out uint value)
    {
        SettlePvEoi();
        uint? known = register switch
        {
            Id => X2ApicEnabled ? _id : _id << 24,
            VersionRegister => Version,
            Tpr => _tpr,
            Arbitration or Eoi => 0,
            Ppr => ProcessorPriority,
            LogicalDestination => X2ApicEnabled ? X2LogicalId : _logicalId,
            DestinationFormat => _destinationFormat,
            Spurious => _spurious,
            >= Isr and < Isr + 8 => _isr[register - Isr],
            >= Tmr and < Tmr + 8 => _tmr[register - Tmr],
            >= Irr and < Irr + 8 => _irr[register - Irr],
            ErrorStatus => _errorStatus,
            IcrLow => _icrLow,
            IcrHigh => _icrHigh,
            LvtTimer => _timer.Lvt,
            >= LvtFirst and <= LvtLast => _lvt[register - LvtFirst],
            InitialCount => _timer.InitialCount,
            CurrentCount => _timer.CurrentCount,
            DivideConfiguration => _timer.Divide,
            _ => null,
        };
        value = known ?? 0;
        return known is not null;
    }

    private bool WriteRegister(int register, uint value)
    {
        SettlePvEoi();
        switch (register)
        {
            case Tpr:
                _tpr = value & 0xff;
                Update();
                break;
            case Eoi:
                EndOfInterrupt();
                break;
            case LogicalDestination:
                _logicalId = value & 0xff000000;
                break;
            case DestinationFormat:
                _destinationFormat = value | 0x0fffffff;
                break;
            case Spurious:
                _spurious = value & SpuriousMask;
                if (!IsSoftwareEnabled)
                    MaskAll();
                Update();
                break;
            case ErrorStatus:
                _errorStatus = _pendingErrors;
                _pendingErrors = 0;
                break;
            case IcrLow:
                _icrLow = value & IcrMask;
                SendIpi();
                break;
            case IcrHigh:
                _icrHigh = value & 0xff000000;
                break;
            case LvtTimer:
                _timer.SetLvt(IsSoftwareEnabled ? value : value | LvtMasked);
                break;
            case >= LvtFirst and <= LvtLast:
                WriteLvt(register - LvtFirst, value);
                break;
            case InitialCount:
                _timer.SetInitialCount(value);
                break;
            case DivideConfiguration:
                _timer.SetDivide(value);
                break;
            case Id or VersionRegister or Arbitration or Ppr or CurrentCount or (>= Isr and < Irr + 8):
                // Read-only; the write has no effect and is no error.
                break;
            default:
                return false;
        }
        return true;
    }

    private void WriteLvt(int entry, uint value)
    {
        value &= LvtMasks[entry];
        if (!IsSoftwareEnabled)
            value |= LvtMasked;
        // Remote IRR is kept while a level-triggered LINT0 interrupt is in flight.
        bool keepsRemote = entry == Lint0Entry && (value & LvtLevel) != 0 && Mode(value) == DeliveryMode.Fixed;
        _lvt[entry] = value | (keepsRemote ? _lvt[entry] & LvtRemoteIrr : 0);
        if (entry == Lint0Entry)
            DriveLint0(rises: false);
        Update();
    }

    private void MaskAll()
    {
        for (int entry = 0; entry < _lvt.Length; entry++)
            _lvt[entry] |= LvtMasked;
        _timer.SetLvt(_timer.Lvt | LvtMasked);
    }

    private void SendIpi()
    {
        DeliveryMode mode = Mode(_icrLow);
        DestinationShorthand shorthand = (DestinationShorthand)(_icrLow >> 18 & 3);
        bool level = (_icrLow & 1 << 15) != 0;
        bool assert = (_icrLow & 1 << 14) != 0;
        byte vector = (byte)_icrLow;
        // INIT level de-assert only resynchronised arbitration identifiers of old processors; ExtINT cannot be sent.
        if (mode == DeliveryMode.Init && level && !assert || mode == DeliveryMode.External)
            return;
        if (mode is DeliveryMode.Fixed or DeliveryMode.LowestPriority && vector < 16)
        {
            Raise(SendIllegalVector);
            return;
        }
        uint destination = X2ApicEnabled ? _icrHigh : _icrHigh >> 24;
        if (!X2ApicEnabled && destination == 0xff)
            destination = ApicBus.Broadcast;
        // Inter-processor interrupts are edge-triggered whatever the trigger bit says (Intel SDM vol. 3, 11.6.1).
        _bus.Send(new InterruptMessage(destination, (_icrLow & 1 << 11) != 0, mode, vector, Level: false), shorthand, this);
    }

    private void ResetRegisters()
    {
        _isr.Clear();
        _tmr.Clear();
        _irr.Clear();
        Array.Fill(_lvt, LvtMasked);
        _tpr = _logicalId = _errorStatus = _icrLow = _icrHigh = 0;
        _destinationFormat = uint.MaxValue;
        _spurious = 0xff;
        _pendingErrors = 0;
        _externalPending = false;
        _pvEoiArmed = false;
        _timer.Reset();
        Update();
    }
}
