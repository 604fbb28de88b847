using Godwit.Engine.Devices;

namespace Godwit.Engine.Cpu;

/// <summary>
/// Refuses saved states that no vCPU can have been in. What a guest could bring about by itself is let through, however
/// odd; the rest of the engine relies on nothing more than what is checked here.
/// </summary>
internal static class VcpuStateValidation
{
    private const ulong Cr0Known = 0xe005_003f;
    private const ulong Cr4Known = 0x0037_1fff & ~Cr4.LA57 | Cr4.SMEP | Cr4.SMAP;
    private const ulong EferKnown = Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE;
    private const ulong RflagsKnown = 0x3d7fd5;
    private const ushort AttributesKnown = 0xf0ff;

    /// <summary>Throws <see cref="InvalidStateException"/> naming the first value that is wrong.</summary>
    public static void Check(VcpuState state)
    {
        Length(state.Gpr, 16, nameof(state.Gpr));
        Length(state.X87, 16, nameof(state.X87));
        Length(state.Vector, 512, nameof(state.Vector));
        Modes(state);
        SegmentRegisters(state);
        Addresses(state);
        Require((state.Rflags & ~(RflagsKnown | Rflags.Reserved1)) == 0 && (state.Rflags & Rflags.Reserved1) != 0, nameof(state.Rflags), state.Rflags);
        Require(state.Dr6 >> 32 == 0, nameof(state.Dr6), state.Dr6);
        Require(state.Dr7 >> 32 == 0, nameof(state.Dr7), state.Dr7);
        Require(Xcr0.IsValid(state.Xcr0), nameof(state.Xcr0), state.Xcr0);
        Require(Msrs.IsPat(state.Pat), nameof(state.Pat), state.Pat);
        Require(Msrs.IsMtrrDefault(state.MtrrDefaultType), nameof(state.MtrrDefaultType), state.MtrrDefaultType);
        Require((state.SpecControl & ~7ul) == 0, nameof(state.SpecControl), state.SpecControl);
        Require(state.TscAux >> 32 == 0, nameof(state.TscAux), state.TscAux);
        Require(state.Fmask >> 32 == 0, nameof(state.Fmask), state.Fmask);
        Require(state.Mxcsr <= 0xffff, nameof(state.Mxcsr), state.Mxcsr);
        for (int i = 1; i < 16; i += 2)
            Require(state.X87[i] <= 0xffff, $"{nameof(state.X87)}[{i}]", state.X87[i]);
    }

    private static void Modes(VcpuState state)
    {
        bool protectedMode = (state.Cr0 & Cr0.PE) != 0, paging = (state.Cr0 & Cr0.PG) != 0;
        bool longEnabled = (state.Efer & Efer.LME) != 0, longActive = (state.Efer & Efer.LMA) != 0;
        Require((state.Cr0 & ~Cr0Known) == 0 && (!paging || protectedMode), nameof(state.Cr0), state.Cr0);
        Require((state.Cr3 & ~Paging.PhysicalMask) == 0, nameof(state.Cr3), state.Cr3);
        Require((state.Cr4 & ~Cr4Known) == 0 && (!longActive || (state.Cr4 & Cr4.PAE) != 0), nameof(state.Cr4), state.Cr4);
        Require(longActive || (state.Cr4 & Cr4.PCIDE) == 0, nameof(state.Cr4), state.Cr4);
        Require((state.Efer & ~EferKnown) == 0 && longActive == (longEnabled && paging), nameof(state.Efer), state.Efer);
    }

    private static void SegmentRegisters(VcpuState state)
    {
        Attributes(state.Es, nameof(state.Es));
        Attributes(state.Cs, nameof(state.Cs));
        Attributes(state.Ss, nameof(state.Ss));
        Attributes(state.Ds, nameof(state.Ds));
        Attributes(state.Fs, nameof(state.Fs));
        Attributes(state.Gs, nameof(state.Gs));
        Attributes(state.Ldtr, nameof(state.Ldtr));
        Attributes(state.Tr, nameof(state.Tr));
        bool longActive = (state.Efer & Efer.LMA) != 0;
        const ushort LongAndBig = Segment.L | Segment.DB;
        Require(!longActive || (state.Cs.Attributes & LongAndBig) != LongAndBig, "Cs.Attributes", state.Cs.Attributes);
        // Real mode is privilege level 0.
        Require((state.Cr0 & Cr0.PE) != 0 || (state.Ss.Attributes & (3 << 5)) == 0, "Ss.Attributes", state.Ss.Attributes);
    }

    private static void Attributes(SegmentState segment, string name)
    {
        if (segment is null)
            throw new InvalidStateException($"vCPU state: {name} is missing");
        Require((segment.Attributes & ~AttributesKnown) == 0, $"{name}.Attributes", segment.Attributes);
        Require(Paging.IsCanonical(segment.Base), $"{name}.Base", segment.Base);
    }

    private static void Addresses(VcpuState state)
    {
        if (state.Gdtr is null || state.Idtr is null)
            throw new InvalidStateException("vCPU state: Gdtr or Idtr is missing");
        Require(Paging.IsCanonical(state.Lstar), nameof(state.Lstar), state.Lstar);
        Require(Paging.IsCanonical(state.Cstar), nameof(state.Cstar), state.Cstar);
        Require(Paging.IsCanonical(state.KernelGsBase), nameof(state.KernelGsBase), state.KernelGsBase);
        Require(Paging.IsCanonical(state.Gdtr.Base), "Gdtr.Base", state.Gdtr.Base);
        Require(Paging.IsCanonical(state.Idtr.Base), "Idtr.Base", state.Idtr.Base);
    }

    private static void Length<T>(T[] values, int length, string name)
    {
        if (values is null || values.Length != length)
            throw new InvalidStateException($"vCPU state: {name} has {values?.Length ?? 0} elements instead of {length}");
    }

    private static void Require(bool valid, string name, ulong value)
    {
        if (!valid)
            throw new InvalidStateException($"vCPU state: {name} 0x{value:x} is not a value that a vCPU can have");
    }
}
