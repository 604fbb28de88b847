using System.Text;
using Godwit.Engine.Machine;

namespace Godwit.Engine.Cpu;

/// <summary>
/// The named CPUID models of docs/engine.md: AuthenticAMD at every level. Family 0x11 is chosen because kernels attach
/// no errata work-arounds to it and list it as free of Meltdown, L1TF, MDS and SSB; what remains is excused through
/// IA32_ARCH_CAPABILITIES (see <see cref="Msrs"/>). Leaves from 0x40000000 on belong to the machine.
/// Register layouts: AMD APM 3, appendix E; Intel SDM 2A, CPUID.
/// </summary>
public static class CpuidModel
{
    /// <summary>1 GiB pages (0x80000001 EDX bit 26). Every level has them: they cost the walk nothing.</summary>
    public const bool GiantPages = true;

    public const uint FsgsbaseEbx = 1 << 0, SmepEbx = 1 << 7, SmapEbx = 1 << 20, UmipEcx = 1 << 2, XsaveEcx = 1 << 26, PcidEcx = 1 << 17;

    /// <summary>The leaf that describes XSAVE's areas.</summary>
    public const uint StateLeaf = 0xd;

    private const uint StructuredLeaf = 7, MaxExtended = 0x8000_0008;

    /// <summary>Family 0x11 model 3 stepping 1.</summary>
    private const uint Signature = 0x0020_0f31;

    /// <summary>CLFLUSH line of 64 bytes, in units of 8, in bits 8-15 of leaf 1 EBX.</summary>
    private const uint ClflushLine = 8 << 8;

    // Leaf 1 ECX: PCID, x2APIC, TSC deadline, RDRAND, hypervisor.
    private const uint BaseEcx = PcidEcx | 1u << 21 | 1u << 24 | 1u << 30 | 1u << 31;

    // Leaf 1 EDX: FPU, DE, PSE, TSC, MSR, PAE, CX8, APIC, SEP, MTRR, PGE, CMOV, PAT, PSE36, CLFSH, MMX, FXSR, SSE, SSE2.
    private const uint BaseEdx = 1u << 0 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 8 | ApicEdx | 1u << 11 | 1u << 12 | 1u << 13
        | 1u << 15 | 1u << 16 | 1u << 17 | 1u << 19 | 1u << 23 | 1u << 24 | 1u << 25 | 1u << 26;

    // Leaf 1 ECX of x86-64-v2: SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; and XSAVE, whose areas hold x87 and SSE.
    private const uint SecondEcx = 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23 | XsaveEcx;

    // Of x86-64-v3: FMA, MOVBE, AVX, F16C; and PCLMULQDQ, AES.
    private const uint ThirdEcx = 1u << 12 | 1u << 22 | 1u << 28 | 1u << 29 | 1u << 1 | 1u << 25;

    // Leaf 7 EBX of x86-64-v3: BMI1, AVX2, BMI2; and RDSEED, ADX, SHA.
    private const uint ThirdStructuredEbx = 1u << 3 | 1u << 5 | 1u << 8 | 1u << 18 | 1u << 19 | 1u << 29;

    // 0x80000001 ECX: LAHF and SAHF in 64-bit mode from v2 on; LZCNT in v3.
    private const uint SecondExtendedEcx = 1u << 0, ThirdExtendedEcx = 1u << 5;

    // Leaf 0xD, subleaf 1 EAX: XSAVEOPT, XSAVEC and compacted areas, XGETBV of what is in use.
    private const uint StateForms = 1u << 0 | 1u << 1 | 1u << 2;

    private const uint ApicEdx = 1u << 9, OsxsaveEcx = 1u << 27;

    /// <summary>The bits of leaf 1 EDX that AMD repeats in 0x80000001 EDX.</summary>
    private const uint RepeatedEdx = 0x0183_f3ff;

    // 0x80000001 EDX: SYSCALL, NX, 1 GiB pages, RDTSCP, long mode.
    private const uint ExtendedEdx = 1u << 11 | 1u << 20 | 1u << 26 | 1u << 27 | 1u << 29;

    // Leaf 7 EBX: FSGSBASE, SMEP, ERMS, INVPCID, SMAP. ECX: UMIP. EDX: FSRM, IBRS and IBPB, IA32_ARCH_CAPABILITIES.
    private const uint StructuredEbx = FsgsbaseEbx | SmepEbx | 1u << 9 | 1u << 10 | SmapEbx;
    private const uint StructuredEdx = 1u << 4 | 1u << 26 | 1u << 29;

    /// <summary>The bits that XCR0 may have at a level; 0 without XSAVE.</summary>
    public static ulong ExtendedStates(CpuLevel level) => level switch
    {
        CpuLevel.V1 => 0,
        CpuLevel.V2 => Xcr0.X87 | Xcr0.Sse,
        _ => Xcr0.X87 | Xcr0.Sse | Xcr0.Avx,
    };

    /// <summary>A leaf of a level. Leaves that it does not have are all zero, as on AMD processors.</summary>
    public static CpuidResult Query(CpuLevel level, uint leaf, uint subleaf) => leaf switch
    {
        0 => Vendor(level >= CpuLevel.V2 ? StateLeaf : StructuredLeaf),
        1 => new(Signature, ClflushLine, BaseEcx | From(level, CpuLevel.V2, SecondEcx) | From(level, CpuLevel.V3, ThirdEcx), BaseEdx),
        // ARAT: the APIC timer does not stop in any idle state.
        6 => new(1 << 2, 0, 0, 0),
        StructuredLeaf when subleaf == 0 => new(0, StructuredEbx | From(level, CpuLevel.V3, ThirdStructuredEbx), UmipEcx, StructuredEdx),
        StateLeaf when level >= CpuLevel.V2 => ExtendedState(ExtendedStates(level), subleaf),
        0x8000_0000 => Vendor(MaxExtended),
        0x8000_0001 => new(Signature, 0, From(level, CpuLevel.V2, SecondExtendedEcx) | From(level, CpuLevel.V3, ThirdExtendedEcx), (BaseEdx & RepeatedEdx) | ExtendedEdx),
        0x8000_0002 or 0x8000_0003 or 0x8000_0004 => Brand(level, (int)(leaf - 0x8000_0002)),
        // L1: TLBs of 32 entries; 64 KiB, 2-way, 64-byte lines for data and code.
        0x8000_0005 => new(0xff20_ff20, 0xff20_ff20, 0x4002_0140, 0x4002_0140),
        // L2: TLBs of 512 entries; 512 KiB, 8-way. L3: 8 MiB, 16-way.
        0x8000_0006 => new(0x4200_4200, 0x4200_4200, 0x0200_6140, 0x0040_8140),
        // The TSC's frequency never changes.
        0x8000_0007 => new(0, 0, 0, 1 << 8),
        0x8000_0008 => new(48 << 8 | Paging.PhysicalBits, 0, 0, 0),
        _ => default,
    };

    /// <summary>Fills in what depends on the vCPU's state: OSXSAVE, the sizes that XCR0 makes, the APIC's presence and the initial APIC ID.</summary>
    public static unsafe void Complete(VcpuContext* c, uint leaf, uint subleaf, ref CpuidResult result)
    {
        if (leaf == StateLeaf && subleaf <= 1 && result != default)
            result = result with { Ebx = Xcr0.AreaSize(c->State.Xcr0) };
        if (leaf is not (1 or 0x8000_0001))
            return;
        Vcpu vcpu = Vcpu.Of(c);
        uint edx = result.Edx;
        bool known;
        ulong apicBase;
        lock (vcpu.Bus.Gate)
            known = vcpu.Interrupts.ReadMsr(0x1b, out apicBase);
        // IA32_APIC_BASE bit 11 turns the APIC off for good.
        if (known && (apicBase & (1 << 11)) == 0)
            edx &= ~ApicEdx;
        result = result with { Edx = edx };
        if (leaf != 1)
            return;
        uint ecx = result.Ecx & ~OsxsaveEcx;
        if ((c->State.Cr4 & Cr4.OSXSAVE) != 0)
            ecx |= OsxsaveEcx;
        result = result with { Ecx = ecx, Ebx = result.Ebx | (uint)vcpu.Index << 24 };
    }

    private static uint From(CpuLevel level, CpuLevel first, uint bits) => level >= first ? bits : 0;

    /// <summary>Leaf 0xD; the size of the area that XCR0 asks for is filled in by <see cref="Complete"/>.</summary>
    private static CpuidResult ExtendedState(ulong states, uint subleaf) => subleaf switch
    {
        0 => new((uint)states, 0, Xcr0.AreaSize(states), 0),
        1 => new(StateForms, 0, 0, 0),
        2 when (states & Xcr0.Avx) != 0 => new(Xcr0.AvxSize, Xcr0.AvxOffset, 0, 0),
        _ => default,
    };

    /// <summary>"AuthenticAMD".</summary>
    private static CpuidResult Vendor(uint max) => new(max, 0x6874_7541, 0x444d_4163, 0x6974_6e65);

    private static CpuidResult Brand(CpuLevel level, int part)
    {
        Span<byte> text = stackalloc byte[48];
        text.Clear();
        Encoding.ASCII.GetBytes($"Godwit virtual processor, x86-64-v{(int)level}", text);
        ReadOnlySpan<uint> words = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, uint>(text.Slice(part * 16, 16));
        return new(words[0], words[1], words[2], words[3]);
    }
}
