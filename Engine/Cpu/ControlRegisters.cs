using Godwit.Engine.Memory;

namespace Godwit.Engine.Cpu;

/// <summary>
/// MOV to and from CR0, CR2, CR3, CR4 and CR8, LMSW, CLTS, and EFER (Intel SDM 3A, 2.5; AMD APM 2, 3.1 and 14.6). Privilege is
/// the caller's to check. A write tells the back end's translation cache what it invalidates; the caller leaves the
/// dispatch loop after it, since modes may have changed.
/// </summary>
public static unsafe class ControlRegisters
{
    private const ulong Cr0Known = Cr0.PE | Cr0.MP | Cr0.EM | Cr0.TS | Cr0.ET | Cr0.NE | Cr0.WP | Cr0.AM | Cr0.NW | Cr0.CD | Cr0.PG;

    /// <summary>CR4 bits that every level has.</summary>
    private const ulong Cr4Base = Cr4.TSD | Cr4.DE | Cr4.PSE | Cr4.PAE | Cr4.MCE | Cr4.PGE | Cr4.PCE | Cr4.OSFXSR | Cr4.OSXMMEXCPT;

    private const ulong Cr4Paging = Cr4.PSE | Cr4.PAE | Cr4.PGE | Cr4.SMEP | Cr4.SMAP;

    /// <summary>Reads a control register; #UD for one that does not exist.</summary>
    public static bool Read(VcpuContext* c, int index, out ulong value)
    {
        ref CpuState state = ref c->State;
        switch (index)
        {
            case 0:
                value = state.Cr0;
                return true;
            case 2:
                value = state.Cr2;
                return true;
            case 3:
                value = state.Cr3;
                return true;
            case 4:
                value = state.Cr4;
                return true;
            case 8:
                Vcpu vcpu = Vcpu.Of(c);
                lock (vcpu.Bus.Gate)
                    value = vcpu.Interrupts.TaskPriority;
                return true;
            default:
                value = 0;
                return c->Raise(Vector.UD);
        }
    }

    /// <summary>Writes a control register; #UD for one that does not exist, #GP for a value that it may not have.</summary>
    public static bool Write(VcpuContext* c, int index, ulong value) => index switch
    {
        0 => WriteCr0(c, value),
        2 => WriteCr2(c, value),
        3 => WriteCr3(c, value),
        4 => WriteCr4(c, value),
        8 => WriteCr8(c, value),
        _ => c->Raise(Vector.UD),
    };

    /// <summary>LMSW: PE can be set but not cleared; MP, EM and TS as given.</summary>
    public static bool LoadStatusWord(VcpuContext* c, ushort value)
    {
        ulong old = c->State.Cr0;
        const ulong Low = Cr0.MP | Cr0.EM | Cr0.TS;
        return WriteCr0(c, (old & ~Low) | (value & (Low | Cr0.PE)));
    }

    private static bool WriteCr0(VcpuContext* c, ulong value)
    {
        ref CpuState state = ref c->State;
        ulong old = state.Cr0;
        if (value >> 32 != 0)
            return c->Raise(Vector.GP, 0);
        value = (value & Cr0Known) | Cr0.ET;
        bool paging = (value & Cr0.PG) != 0;
        if ((paging && (value & Cr0.PE) == 0) || ((value & Cr0.NW) != 0 && (value & Cr0.CD) == 0))
            return c->Raise(Vector.GP, 0);
        if (paging && !state.Paging)
        {
            if ((state.Efer & Efer.LME) != 0)
            {
                if ((state.Cr4 & Cr4.PAE) == 0 || (state.Cs.Attributes & Segment.L) != 0)
                    return c->Raise(Vector.GP, 0);
                state.Efer |= Efer.LMA;
            }
            else if ((state.Cr4 & Cr4.PAE) != 0 && !CheckPaePointers(c, state.Cr3))
                return false;
        }
        else if (!paging && state.Paging)
        {
            if (state.Mode64 || (state.Cr4 & Cr4.PCIDE) != 0)
                return c->Raise(Vector.GP, 0);
            state.Efer &= ~Efer.LMA;
        }
        state.Cr0 = value;
        if (((old ^ value) & (Cr0.PG | Cr0.PE | Cr0.WP)) != 0)
            Vcpu.Of(c).Translations.FlushAll();
        return true;
    }

    private static bool WriteCr2(VcpuContext* c, ulong value)
    {
        c->State.Cr2 = value;
        return true;
    }

    private static bool WriteCr3(VcpuContext* c, ulong value)
    {
        ref CpuState state = ref c->State;
        bool tagged = (state.Cr4 & Cr4.PCIDE) != 0;
        bool keep = tagged && (value & Cr3.Keep) != 0;
        if (state.LongMode)
        {
            if (tagged)
                value &= ~Cr3.Keep;
            if ((value & ~Paging.PhysicalMask) != 0)
                return c->Raise(Vector.GP, 0);
        }
        else
        {
            value = (uint)value;
            if (state.Paging && (state.Cr4 & Cr4.PAE) != 0 && !CheckPaePointers(c, value))
                return false;
        }
        state.Cr3 = value;
        int pcid = tagged ? (int)(value & Cr3.PcidMask) : 0;
        ITranslationCache translations = Vcpu.Of(c).Translations;
        if (!keep)
            translations.FlushNonGlobal(pcid);
        translations.Enter(pcid);
        return true;
    }

    private static bool WriteCr4(VcpuContext* c, ulong value)
    {
        ref CpuState state = ref c->State;
        ulong old = state.Cr4;
        if ((value & ~AllowedCr4(c)) != 0)
            return c->Raise(Vector.GP, 0);
        if (state.LongMode && (value & Cr4.PAE) == 0)
            return c->Raise(Vector.GP, 0);
        bool entersPae = state.Paging && !state.LongMode && (value & Cr4.PAE) != 0 && ((old ^ value) & (Cr4.PAE | Cr4.PGE | Cr4.PSE | Cr4.SMEP)) != 0;
        if (entersPae && !CheckPaePointers(c, state.Cr3))
            return false;
        // PCIDs begin with PCID 0, in 4-level paging (SDM 3A, 4.10.1).
        if ((value & ~old & Cr4.PCIDE) != 0 && (!state.LongMode || (state.Cr3 & Cr3.PcidMask) != 0))
            return c->Raise(Vector.GP, 0);
        state.Cr4 = value;
        if (((old ^ value) & Cr4Paging) != 0 || (old & ~value & Cr4.PCIDE) != 0)
            Vcpu.Of(c).Translations.FlushAll();
        return true;
    }

    /// <summary>The CR4 bits that the machine's CPUID model has a use for.</summary>
    private static ulong AllowedCr4(VcpuContext* c)
    {
        IVcpuServices services = Vcpu.Of(c).Services;
        CpuidResult structured = services.Cpuid(7, 0);
        ulong allowed = Cr4Base;
        if ((structured.Ebx & CpuidModel.FsgsbaseEbx) != 0)
            allowed |= Cr4.FSGSBASE;
        if ((structured.Ebx & CpuidModel.SmepEbx) != 0)
            allowed |= Cr4.SMEP;
        if ((structured.Ebx & CpuidModel.SmapEbx) != 0)
            allowed |= Cr4.SMAP;
        if ((structured.Ecx & CpuidModel.UmipEcx) != 0)
            allowed |= Cr4.UMIP;
        uint features = services.Cpuid(1, 0).Ecx;
        if ((features & CpuidModel.XsaveEcx) != 0)
            allowed |= Cr4.OSXSAVE;
        if ((features & CpuidModel.PcidEcx) != 0)
            allowed |= Cr4.PCIDE;
        return allowed;
    }

    private static bool WriteCr8(VcpuContext* c, ulong value)
    {
        if (value > 15)
            return c->Raise(Vector.GP, 0);
        Vcpu vcpu = Vcpu.Of(c);
        lock (vcpu.Bus.Gate)
            vcpu.Interrupts.TaskPriority = (byte)value;
        return true;
    }

    /// <summary>Entering PAE paging or loading its CR3: a present pointer with reserved bits is #GP (SDM 3A, 4.4.1).</summary>
    private static bool CheckPaePointers(VcpuContext* c, ulong cr3)
    {
        ulong address = cr3 & 0xffff_ffe0;
        byte* page = Vcpu.Of(c).Memory.Resolve(new PageNumber(address >> PageNumber.Shift), Access.Read);
        for (int i = 0; i < 4; i++)
        {
            ulong pointer = page == null ? ulong.MaxValue : ((ulong*)(page + (address & 0xfe0)))[i];
            if ((pointer & 1) != 0 && (pointer & Paging.PaePointerReserved) != 0)
                return c->Raise(Vector.GP, 0);
        }
        return true;
    }

    /// <summary>Writes EFER: LME is fixed while paging is on, LMA follows by itself.</summary>
    public static bool WriteEfer(VcpuContext* c, ulong value)
    {
        ref CpuState state = ref c->State;
        const ulong Known = Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE;
        if ((value & ~Known) != 0 || (state.Paging && ((value ^ state.Efer) & Efer.LME) != 0))
            return c->Raise(Vector.GP, 0);
        ulong old = state.Efer;
        state.Efer = (value & ~Efer.LMA) | (old & Efer.LMA);
        if (((old ^ state.Efer) & Efer.NXE) != 0)
            Vcpu.Of(c).Translations.FlushAll();
        return true;
    }
}
