namespace Godwit.Engine.Cpu;

/// <summary>The states in which processors begin.</summary>
public static unsafe class CpuReset
{
    /// <summary>The first instruction's RIP in its segment (base 0xffff0000).</summary>
    private const ulong ResetRip = 0xfff0;

    /// <summary>What PAT holds after reset: WB, WT, UC-, UC, twice (SDM 3A, 11.12.4).</summary>
    public const ulong ResetPat = 0x0007_0406_0007_0406;

    /// <summary>
    /// Power-up state (Intel SDM 3A, table 9-1), with three things as firmware leaves them, since none may run: caching
    /// is on, MTRRs are enabled with write-back as the default, and the model's signature is in EDX.
    /// </summary>
    public static void Apply(ref CpuState state)
    {
        state = default;
        state.Rip = ResetRip;
        state.Rflags = Rflags.Reserved1;
        state.Gpr[Gpr.RDX] = 0x0020_0f31;
        Segment data = new() { Limit = 0xffff, Attributes = Segments.RealModeData };
        state.Es = state.Ss = state.Ds = state.Fs = state.Gs = data;
        state.Cs = new Segment { Selector = 0xf000, Base = 0xffff_0000, Limit = 0xffff, Attributes = Segments.RealModeData | Segment.Code };
        state.Ldtr = new Segment { Limit = 0xffff, Attributes = Segment.P | Descriptor.Ldt };
        state.Tr = new Segment { Limit = 0xffff, Attributes = Segment.P | Descriptor.Tss32 | Descriptor.Busy };
        state.Gdtr = new DescriptorTable { Limit = 0xffff };
        state.Idtr = new DescriptorTable { Limit = 0xffff };
        state.Cr0 = Cr0.ET;
        state.Xcr0 = 1;
        state.Dr6 = 0xffff_0ff0;
        state.Dr7 = 1 << 10;
        state.Pat = ResetPat;
        state.MtrrDefaultType = 0xc06;
        state.X87Control = 0x37f;
        state.Mxcsr = 0x1f80;
    }

    /// <summary>
    /// What an INIT message leaves (Intel SDM 3A, table 9-1): vector registers, most MSRs and the time-stamp counter stay;
    /// caching stays on, as after power-up.
    /// </summary>
    public static void Init(ref CpuState state)
    {
        CpuState fresh = default;
        Apply(ref fresh);
        for (int i = 0; i < 16; i++)
            state.Gpr[i] = fresh.Gpr[i];
        (state.Rip, state.Rflags) = (fresh.Rip, fresh.Rflags);
        state.Es = state.Ss = state.Ds = state.Fs = state.Gs = fresh.Ds;
        (state.Cs, state.Ldtr, state.Tr, state.Gdtr, state.Idtr) = (fresh.Cs, fresh.Ldtr, fresh.Tr, fresh.Gdtr, fresh.Idtr);
        (state.Cr0, state.Cr2, state.Cr3, state.Cr4, state.Efer) = (fresh.Cr0, 0, 0, 0, 0);
        state.Dr0 = state.Dr1 = state.Dr2 = state.Dr3 = 0;
        (state.Dr6, state.Dr7) = (fresh.Dr6, fresh.Dr7);
        state.Halted = state.InterruptShadow = state.NmiBlocked = state.NmiPending = false;
    }

    /// <summary>Where a start-up message lets a processor begin, in real mode (SDM 3A, 8.4.4.1): its vector is the code's page below 1 MiB.</summary>
    public static void Start(ref CpuState state, byte vector)
    {
        state.Cs = new Segment { Selector = (ushort)(vector << 8), Base = (ulong)vector << 12, Limit = 0xffff, Attributes = Segments.RealModeData | Segment.Code };
        state.Rip = 0;
    }

    /// <summary>
    /// Flat 32-bit protected mode as multiboot and PVH loaders enter: paging off, interrupts off, selectors given for
    /// code (ring 0, readable) and data.
    /// </summary>
    public static void EnterFlat32(ref CpuState state, ulong entry, ushort codeSelector, ushort dataSelector)
    {
        state.Cr0 = Cr0.ET | Cr0.PE;
        state.Rflags = Rflags.Reserved1;
        state.Rip = entry;
        SetFlat(ref state, codeSelector, dataSelector, Segment.DB);
    }

    /// <summary>
    /// Flat 64-bit mode as the Linux 64-bit boot protocol enters: paging through <paramref name="cr3"/>, interrupts off.
    /// </summary>
    public static void EnterFlat64(ref CpuState state, ulong entry, ulong cr3, ushort codeSelector, ushort dataSelector)
    {
        state.Cr0 = Cr0.ET | Cr0.PE | Cr0.PG | Cr0.NE | Cr0.WP;
        state.Cr3 = cr3;
        state.Cr4 = Cr4.PAE;
        state.Efer = Efer.LME | Efer.LMA;
        state.Rflags = Rflags.Reserved1;
        state.Rip = entry;
        SetFlat(ref state, codeSelector, dataSelector, Segment.L);
    }

    private static void SetFlat(ref CpuState state, ushort codeSelector, ushort dataSelector, ushort codeSize)
    {
        state.Cs = Segments.Flat(codeSelector, (ushort)(Segment.Code | codeSize));
        state.Es = state.Ss = state.Ds = state.Fs = state.Gs = Segments.Flat(dataSelector, Segment.DB);
    }
}
