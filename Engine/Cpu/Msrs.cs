namespace Godwit.Engine.Cpu;

/// <summary>
/// RDMSR and WRMSR: the architectural registers of Intel SDM 4 and AMD APM 2, appendix A, that belong to the model of
/// <see cref="CpuidModel"/>; the local APIC's and the machine's own go to them; what nobody knows is #GP(0), which kernels
/// expect when they probe. Privilege is the caller's to check.
/// </summary>
public static unsafe class Msrs
{
    private const uint Tsc = 0x10, ApicBase = 0x1b, TscAdjust = 0x3b, SpecCtrl = 0x48, PredCmd = 0x49, PatchLevel = 0x8b, MtrrCap = 0xfe;
    private const uint ArchCapabilities = 0x10a, SysenterCs = 0x174, SysenterEsp = 0x175, SysenterEip = 0x176, McgCap = 0x179, McgStatus = 0x17a;
    private const uint MiscEnable = 0x1a0, DebugCtl = 0x1d9, LastBranchFirst = 0x1db, LastBranchLast = 0x1de, Pat = 0x277, MtrrDefType = 0x2ff;
    private const uint TscDeadline = 0x6e0, X2ApicFirst = 0x800, X2ApicLast = 0x8ff;
    private const uint EferIndex = 0xc000_0080, Star = 0xc000_0081, Lstar = 0xc000_0082, Cstar = 0xc000_0083, Fmask = 0xc000_0084;
    private const uint FsBase = 0xc000_0100, GsBase = 0xc000_0101, KernelGsBase = 0xc000_0102, TscAux = 0xc000_0103;

    // AMD's own. Reading as below and ignoring writes, as hypervisors commonly do: kernels touch them unasked.
    private const uint Syscfg = 0xc001_0010, Hwcr = 0xc001_0015, TopMem = 0xc001_001a, TopMem2 = 0xc001_001d, NbCfg = 0xc001_001f;
    private const uint IntPending = 0xc001_0055, MmioConfBase = 0xc001_0058, SmmAddress = 0xc001_0112, SmmMask = 0xc001_0113, VmCr = 0xc001_0114;
    private const uint LsCfg = 0xc001_1020, IcCfg = 0xc001_1021, DcCfg = 0xc001_1022, BuCfg = 0xc001_1023, DeCfg = 0xc001_1029, BuCfg2 = 0xc001_102a;

    /// <summary>HWCR.TscFreqSel: the TSC runs at a fixed frequency.</summary>
    private const ulong HwcrReset = 1 << 24;

    /// <summary>DE_CFG bit 1: LFENCE is serializing; a kernel that finds it set need not set it.</summary>
    private const ulong LfenceSerializes = 1 << 1;

    /// <summary>VM_CR.SVMDIS: no SVM.</summary>
    private const ulong SvmDisabled = 1 << 4;

    private const ulong PatchLevelValue = 0x0100_0000;

    /// <summary>
    /// Nothing of what these bits excuse can be exploited: guest code is never executed speculatively, so that kernels
    /// need none of their costly work-arounds (RDCL_NO, IBRS_ALL, RSBA off, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO,
    /// PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO).
    /// </summary>
    private const ulong Capabilities = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8
        | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 20 | 1 << 24 | 1 << 26 | 1 << 27 | 1ul << 62;

    /// <summary>Reads an MSR; false: #GP(0) is recorded.</summary>
    public static bool Read(VcpuContext* c, uint index, out ulong value)
    {
        ref CpuState state = ref c->State;
        switch (index)
        {
            case Tsc:
                value = TimeStamp.Now(c);
                return true;
            case TscAdjust:
                value = state.TscAdjust;
                return true;
            case SpecCtrl:
                value = state.SpecControl;
                return true;
            case PatchLevel:
                value = PatchLevelValue;
                return true;
            case ArchCapabilities:
                value = Capabilities;
                return true;
            case SysenterCs:
                value = state.SysenterCs;
                return true;
            case SysenterEsp:
                value = state.SysenterEsp;
                return true;
            case SysenterEip:
                value = state.SysenterEip;
                return true;
            case MtrrCap or McgCap or McgStatus or DebugCtl or (>= LastBranchFirst and <= LastBranchLast):
                // No variable or fixed MTRRs, no machine-check banks, no branch records.
                value = 0;
                return true;
            case MiscEnable:
                value = state.MiscEnable;
                return true;
            case Pat:
                value = state.Pat;
                return true;
            case MtrrDefType:
                value = state.MtrrDefaultType;
                return true;
            case EferIndex:
                value = state.Efer;
                return true;
            case Star:
                value = state.Star;
                return true;
            case Lstar:
                value = state.Lstar;
                return true;
            case Cstar:
                value = state.Cstar;
                return true;
            case Fmask:
                value = state.Fmask;
                return true;
            case FsBase:
                value = state.Fs.Base;
                return true;
            case GsBase:
                value = state.Gs.Base;
                return true;
            case KernelGsBase:
                value = state.KernelGsBase;
                return true;
            case TscAux:
                value = state.TscAux;
                return true;
            default:
                return ReadAmd(index, out value) || ReadOutside(c, index, out value) || c->Raise(Vector.GP, 0);
        }
    }

    /// <summary>Writes an MSR; false: #GP(0) is recorded.</summary>
    public static bool Write(VcpuContext* c, uint index, ulong value)
    {
        ref CpuState state = ref c->State;
        bool valid = true;
        switch (index)
        {
            case Tsc:
                TimeStamp.Set(c, value);
                break;
            case TscAdjust:
                state.TscAdjust = value;
                break;
            case SpecCtrl:
                valid = (value & ~7ul) == 0;
                Assign(ref state.SpecControl, value, valid);
                break;
            case PredCmd:
                valid = (value & ~1ul) == 0;
                break;
            case PatchLevel:
                break;
            case SysenterCs:
                state.SysenterCs = value;
                break;
            case SysenterEsp:
                state.SysenterEsp = value;
                break;
            case SysenterEip:
                state.SysenterEip = value;
                break;
            case McgStatus:
                valid = value == 0;
                break;
            case MiscEnable:
                state.MiscEnable = value;
                break;
            case DebugCtl:
                // LBR and BTF may be asked for; nothing is recorded.
                valid = (value & ~0x3ful) == 0;
                break;
            case Pat:
                valid = IsPat(value);
                Assign(ref state.Pat, value, valid);
                break;
            case MtrrDefType:
                valid = IsMtrrDefault(value);
                Assign(ref state.MtrrDefaultType, value, valid);
                break;
            case EferIndex:
                return ControlRegisters.WriteEfer(c, value);
            case Star:
                state.Star = value;
                break;
            case Lstar:
                valid = Paging.IsCanonical(value);
                Assign(ref state.Lstar, value, valid);
                break;
            case Cstar:
                valid = Paging.IsCanonical(value);
                Assign(ref state.Cstar, value, valid);
                break;
            case Fmask:
                state.Fmask = (uint)value;
                break;
            case FsBase:
                valid = Paging.IsCanonical(value);
                Assign(ref state.Fs.Base, value, valid);
                break;
            case GsBase:
                valid = Paging.IsCanonical(value);
                Assign(ref state.Gs.Base, value, valid);
                break;
            case KernelGsBase:
                valid = Paging.IsCanonical(value);
                Assign(ref state.KernelGsBase, value, valid);
                break;
            case TscAux:
                valid = value >> 32 == 0;
                Assign(ref state.TscAux, value, valid);
                break;
            default:
                valid = ReadAmd(index, out _) || WriteOutside(c, index, value);
                break;
        }
        return valid || c->Raise(Vector.GP, 0);
    }

    private static void Assign(ref ulong register, ulong value, bool valid)
    {
        if (valid)
            register = value;
    }

    private static bool ReadAmd(uint index, out ulong value)
    {
        value = index switch
        {
            Hwcr => HwcrReset,
            DeCfg => LfenceSerializes,
            VmCr => SvmDisabled,
            _ => 0,
        };
        return index is Syscfg or Hwcr or TopMem or TopMem2 or NbCfg or IntPending or MmioConfBase or SmmAddress or SmmMask or VmCr
            or LsCfg or IcCfg or DcCfg or BuCfg or DeCfg or BuCfg2;
    }

    private static bool IsApic(uint index) => index is ApicBase or TscDeadline or (>= X2ApicFirst and <= X2ApicLast);

    private static bool ReadOutside(VcpuContext* c, uint index, out ulong value)
    {
        Vcpu vcpu = Vcpu.Of(c);
        if (!IsApic(index))
            return vcpu.Services.ReadMsr(index, out value);
        bool known;
        lock (vcpu.Bus.Gate)
            known = vcpu.Interrupts.ReadMsr(index, out value);
        // The APIC counts the machine's TSC, the guest its own.
        if (index == TscDeadline && value != 0)
            value += c->State.TscAdjust;
        return known;
    }

    private static bool WriteOutside(VcpuContext* c, uint index, ulong value)
    {
        Vcpu vcpu = Vcpu.Of(c);
        if (!IsApic(index))
            return vcpu.Services.WriteMsr(index, value);
        if (index == TscDeadline && value != 0)
        {
            // A deadline before the machine's TSC began has passed already; 0 would disarm.
            Int128 deadline = (Int128)value - (long)c->State.TscAdjust;
            value = deadline <= 0 ? 1 : deadline > ulong.MaxValue ? ulong.MaxValue : (ulong)deadline;
        }
        lock (vcpu.Bus.Gate)
            return vcpu.Interrupts.WriteMsr(index, value);
    }

    internal static bool IsMtrrDefault(ulong value) => (value & ~0xc07ul) == 0 && IsMemoryType((byte)(value & 7), uncachedMinus: false);

    internal static bool IsPat(ulong value)
    {
        for (int i = 0; i < 8; i++)
            if (!IsMemoryType((byte)(value >> (i * 8)), uncachedMinus: true))
                return false;
        return true;
    }

    /// <summary>UC 0, WC 1, WT 4, WP 5, WB 6, and in the PAT UC- 7 (SDM 3A, table 11-10).</summary>
    private static bool IsMemoryType(byte type, bool uncachedMinus) => type is 0 or 1 or 4 or 5 or 6 || (uncachedMinus && type == 7);
}
