using Godwit.Engine.Devices;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Paravirt;

/// <summary>
/// One vCPU's KVM paravirtual MSRs: wall clock, system time and PV EOI (Linux Documentation/virt/kvm/x86/msr.rst). Used
/// with the machine lock held. An address outside RAM is remembered but nothing is ever written to it.
/// </summary>
/// <param name="tscAdjust">What the guest has added to the machine's TSC (IA32_TSC_ADJUST); null for a guest that cannot.</param>
/// <param name="settleEoi">Called before the PV EOI word changes, so that the local APIC can take its offer back.</param>
public sealed class KvmMsrs(GuestMemory memory, IGuestClock clock, Func<ulong>? tscAdjust = null, Action? settleEoi = null)
    : ISavedState<KvmMsrsState>
{
    /// <summary>MSR_KVM_WALL_CLOCK, deprecated number.</summary>
    public const uint OldWallClock = 0x11;

    /// <summary>MSR_KVM_SYSTEM_TIME, deprecated number.</summary>
    public const uint OldSystemTime = 0x12;

    /// <summary>MSR_KVM_WALL_CLOCK_NEW.</summary>
    public const uint WallClock = 0x4b56_4d00;

    /// <summary>MSR_KVM_SYSTEM_TIME_NEW.</summary>
    public const uint SystemTime = 0x4b56_4d01;

    /// <summary>MSR_KVM_PV_EOI_EN.</summary>
    public const uint PvEoiEnable = 0x4b56_4d04;

    private const ulong Enabled = 1;
    private const ulong PvEoiReserved = 2;

    private readonly PvclockPage _page = new(memory, clock, tscAdjust);
    private ulong _wallClock;
    private ulong _systemTime;

    /// <summary>The PV EOI flag that the vCPU's local APIC works with.</summary>
    public PvEoiFlag PvEoi { get; } = new(memory);

    /// <summary>Reads one of these MSRs; false where the number is none of them.</summary>
    public bool ReadMsr(uint index, out ulong value)
    {
        switch (index)
        {
            case OldWallClock or WallClock: value = _wallClock; return true;
            case OldSystemTime or SystemTime: value = _systemTime; return true;
            case PvEoiEnable: value = PvEoi.Msr; return true;
            default: value = 0; return false;
        }
    }

    /// <summary>Writes one of these MSRs; false means #GP.</summary>
    public bool WriteMsr(uint index, ulong value)
    {
        switch (index)
        {
            case OldWallClock or WallClock:
                _wallClock = value;
                _page.WriteWallClock(new GuestPhysicalAddress(value));
                return true;
            case OldSystemTime or SystemTime:
                _systemTime = value;
                if ((value & Enabled) != 0)
                    _page.WriteSystemTime(SystemTimeAddress, stopped: false);
                return true;
            case PvEoiEnable:
                if ((value & PvEoiReserved) != 0)
                    return false;
                settleEoi?.Invoke();
                PvEoi.Msr = value;
                return true;
            default:
                return false;
        }
    }

    /// <summary>
    /// Guest time has stood still or jumped (pause, snapshot, migration): gives the guest's clock page a new anchor and,
    /// with <paramref name="stopped"/>, tells its watchdogs that they were not to blame. The vCPU is not running.
    /// </summary>
    public void Resumed(bool stopped)
    {
        if ((_systemTime & Enabled) != 0)
            _page.WriteSystemTime(SystemTimeAddress, stopped);
    }

    /// <inheritdoc/>
    public KvmMsrsState SaveState() => new()
    {
        WallClock = _wallClock,
        SystemTime = _systemTime,
        PvEoi = PvEoi.Msr,
    };

    /// <inheritdoc/>
    public void LoadState(KvmMsrsState state)
    {
        if ((state.PvEoi & PvEoiReserved) != 0)
            throw new InvalidStateException($"KVM MSRs: PV EOI value 0x{state.PvEoi:x} has a reserved bit set");
        _wallClock = state.WallClock;
        _systemTime = state.SystemTime;
        PvEoi.Msr = state.PvEoi;
    }

    private GuestPhysicalAddress SystemTimeAddress => new(_systemTime & ~Enabled);
}
