namespace Godwit.Engine.Cpu;

/// <summary>RFLAGS bits (Intel SDM 1, 3.4.3).</summary>
public static class Rflags
{
    public const ulong CF = 1 << 0, Reserved1 = 1 << 1, PF = 1 << 2, AF = 1 << 4, ZF = 1 << 6, SF = 1 << 7;
    public const ulong TF = 1 << 8, IF = 1 << 9, DF = 1 << 10, OF = 1 << 11, IOPL = 3 << 12, NT = 1 << 14;
    public const ulong RF = 1 << 16, VM = 1 << 17, AC = 1 << 18, VIF = 1 << 19, VIP = 1 << 20, ID = 1 << 21;

    /// <summary>The six status flags that arithmetic sets.</summary>
    public const ulong Arithmetic = CF | PF | AF | ZF | SF | OF;
}

/// <summary>CR0 bits (Intel SDM 3A, 2.5).</summary>
public static class Cr0
{
    public const ulong PE = 1 << 0, MP = 1 << 1, EM = 1 << 2, TS = 1 << 3, ET = 1 << 4, NE = 1 << 5;
    public const ulong WP = 1 << 16, AM = 1 << 18, NW = 1 << 29, CD = 1 << 30, PG = 1u << 31;
}

/// <summary>Parts of CR3 where CR4.PCIDE is set.</summary>
public static class Cr3
{
    /// <summary>The current PCID.</summary>
    public const ulong PcidMask = 0xfff;

    /// <summary>In a value written, and never read: the PCID's translations are kept.</summary>
    public const ulong Keep = 1ul << 63;
}

/// <summary>CR4 bits (Intel SDM 3A, 2.5).</summary>
public static class Cr4
{
    public const ulong VME = 1 << 0, PVI = 1 << 1, TSD = 1 << 2, DE = 1 << 3, PSE = 1 << 4, PAE = 1 << 5, MCE = 1 << 6;
    public const ulong PGE = 1 << 7, PCE = 1 << 8, OSFXSR = 1 << 9, OSXMMEXCPT = 1 << 10, UMIP = 1 << 11, LA57 = 1 << 12;
    public const ulong FSGSBASE = 1 << 16, PCIDE = 1 << 17, OSXSAVE = 1 << 18, SMEP = 1 << 20, SMAP = 1 << 21;
}

/// <summary>XCR0 bits, which are also XSAVE's state components, and the areas that these take (Intel SDM 1, 13.1 and 13.4).</summary>
public static class Xcr0
{
    public const ulong X87 = 1 << 0, Sse = 1 << 1, Avx = 1 << 2;

    /// <summary>The FXSAVE image, then the header; the upper halves of the YMM registers follow in either format.</summary>
    public const int HeaderOffset = 512, AvxOffset = 576, AvxSize = 256;

    /// <summary>Bytes of an area with some components, in the standard and, as there is only one component behind the header, in the compacted format.</summary>
    public static uint AreaSize(ulong components) => (components & Avx) != 0 ? (uint)(AvxOffset + AvxSize) : AvxOffset;

    /// <summary>Whether XCR0 can hold a value: x87 always on, AVX only with SSE.</summary>
    public static bool IsValid(ulong value) => (value & X87) != 0 && (value & (Sse | Avx)) != Avx && (value & ~(X87 | Sse | Avx)) == 0;
}

/// <summary>EFER bits (AMD APM 2, 3.1.7).</summary>
public static class Efer
{
    public const ulong SCE = 1 << 0, LME = 1 << 8, LMA = 1 << 10, NXE = 1 << 11;
}

/// <summary>Exception vectors (Intel SDM 3A, 6.3.1).</summary>
public enum Vector : byte
{
    DE = 0, DB = 1, NMI = 2, BP = 3, OF = 4, BR = 5, UD = 6, NM = 7, DF = 8, TS = 10, NP = 11, SS = 12, GP = 13, PF = 14,
    MF = 16, AC = 17, MC = 18, XM = 19,
}

/// <summary>Indices of the general registers in <see cref="CpuState.Gpr"/>.</summary>
public static class Gpr
{
    public const int RAX = 0, RCX = 1, RDX = 2, RBX = 3, RSP = 4, RBP = 5, RSI = 6, RDI = 7;
}
