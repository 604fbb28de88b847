namespace Godwit.Engine.Devices.Lapic;

/// <summary>Saved state as a register page.</summary>
public sealed partial class LocalApic
{
    public LocalApicState SaveState()
    {
        uint[] page = new uint[RegisterCount];
        page[Id] = X2ApicEnabled ? _id : _id << 24;
        page[VersionRegister] = Version;
        page[Tpr] = _tpr;
        page[Ppr] = ProcessorPriority;
        page[LogicalDestination] = X2ApicEnabled ? X2LogicalId : _logicalId;
        page[DestinationFormat] = _destinationFormat;
        page[Spurious] = _spurious;
        for (int word = 0; word < 8; word++)
        {
            page[Isr + word] = _isr[word];
            page[Tmr + word] = _tmr[word];
            page[Irr + word] = _irr[word];
        }
        page[ErrorStatus] = _errorStatus;
        page[IcrLow] = _icrLow;
        page[IcrHigh] = _icrHigh;
        page[LvtTimer] = _timer.Lvt;
        _lvt.CopyTo(page, LvtFirst);
        page[InitialCount] = _timer.InitialCount;
        page[DivideConfiguration] = _timer.Divide;
        return new LocalApicState
        {
            Registers = page,
            ApicBase = _apicBase,
            TimerExpiry = _timer.Expiry,
            TscDeadline = _timer.RawTscDeadline,
            PendingErrors = _pendingErrors,
            Lint0 = _lint0,
            Lint1 = _lint1,
            NmiPending = _nmiPending,
            ExternalPending = _externalPending,
            InitPending = _initPending,
            StartupVector = _startupVector,
            PvEoiArmed = _pvEoiArmed,
        };
    }

    public void LoadState(LocalApicState state)
    {
        Validate(state);
        uint[] page = state.Registers;
        _apicBase = state.ApicBase;
        _tpr = page[Tpr];
        _logicalId = X2ApicEnabled ? 0 : page[LogicalDestination];
        _destinationFormat = page[DestinationFormat];
        _spurious = page[Spurious];
        for (int word = 0; word < 8; word++)
        {
            _isr[word] = page[Isr + word];
            _tmr[word] = page[Tmr + word];
            _irr[word] = page[Irr + word];
        }
        _errorStatus = page[ErrorStatus];
        _icrLow = page[IcrLow];
        _icrHigh = page[IcrHigh];
        Array.Copy(page, LvtFirst, _lvt, 0, _lvt.Length);
        _pendingErrors = state.PendingErrors;
        _lint0 = state.Lint0;
        _lint1 = state.Lint1;
        _nmiPending = state.NmiPending;
        _externalPending = state.ExternalPending;
        _initPending = state.InitPending;
        _startupVector = state.StartupVector;
        _pvEoiArmed = state.PvEoiArmed;
        _timer.Load(page[LvtTimer], page[InitialCount], page[DivideConfiguration], state.TimerExpiry, state.TscDeadline);
        Update();
        if (_nmiPending || _initPending || _startupVector is not null)
            _wake();
    }

    private void Validate(LocalApicState state)
    {
        if (state.Registers is not { Length: RegisterCount } page)
            throw new InvalidStateException($"local APIC {_id}: the register page must have {RegisterCount} registers");
        Require(IsValidBase(state.ApicBase), "IA32_APIC_BASE", state.ApicBase);
        bool x2 = (state.ApicBase & BaseX2Apic) != 0;
        Require(page[Id] == (x2 ? _id : _id << 24), "identifier", page[Id]);
        Require(page[Tpr] <= 0xff, "task priority", page[Tpr]);
        Require((page[Spurious] & ~SpuriousMask) == 0, "spurious vector register", page[Spurious]);
        Require((page[IcrLow] & ~IcrMask) == 0, "interrupt command register", page[IcrLow]);
        Require(((page[Isr] | page[Irr] | page[Tmr]) & 0xffff) == 0, "vectors below 16", page[Isr] | page[Irr] | page[Tmr]);
        Require((page[LvtTimer] & ~LocalApicTimer.LvtMask) == 0, "timer LVT entry", page[LvtTimer]);
        Require((page[DivideConfiguration] & ~LocalApicTimer.DivideMask) == 0, "timer divisor", page[DivideConfiguration]);
        Require(state.TimerExpiry is null || page[InitialCount] != 0, "timer expiry without a count", state.TimerExpiry ?? 0);
        for (int entry = 0; entry < LvtMasks.Length; entry++)
            Require((page[LvtFirst + entry] & ~(LvtMasks[entry] | LvtRemoteIrr)) == 0, "LVT entry", page[LvtFirst + entry]);
    }

    private void Require(bool holds, string what, ulong value)
    {
        if (!holds)
            throw new InvalidStateException($"local APIC {_id}: {what} cannot be 0x{value:x}");
    }
}
