using Godwit.Engine.Cpu;
using Godwit.Engine.Interpreter;

namespace Godwit.Engine.Translation;

/// <summary>Byte offsets of what translated code reaches in the context.</summary>
internal static unsafe class ContextLayout
{
    static ContextLayout()
    {
        // Differences of addresses, since Marshal.OffsetOf would give the layout for marshalling.
        VcpuContext context;
        byte* start = (byte*)&context;
        Gpr = (int)((byte*)context.State.Gpr - start);
        FsBase = (int)((byte*)&context.State.Fs.Base - start);
        GsBase = (int)((byte*)&context.State.Gs.Base - start);
        Rflags = (int)((byte*)&context.State.Rflags - start);
        KernelGsBase = (int)((byte*)&context.State.KernelGsBase - start);
        Cr0 = (int)((byte*)&context.State.Cr0 - start);
        Cr4 = (int)((byte*)&context.State.Cr4 - start);
        Tlb = (int)((byte*)&context.Tlb - start);
        Jumps = (int)((byte*)&context.JumpCache - start);
        Budget = (int)((byte*)&context.Budget - start);
        ExitRequest = (int)((byte*)&context.ExitRequest - start);
        Flags = (int)((byte*)&context.NativeFlags - start);
        Link = (int)((byte*)&context.NativeLink - start);
        Rip = (int)((byte*)&context.State.Rip - start);
        Groups = (int)((byte*)context.NativeGroups - start);
        Slots = (int)((byte*)context.NativeSlots - start);
        Xcr0 = (int)((byte*)&context.State.Xcr0 - start);
        Mxcsr = (int)((byte*)&context.State.Mxcsr - start);
        Vectors = (int)(&context.NativeVectors - start);
        HostMxcsr = (int)((byte*)&context.HostMxcsr - start);
        Target = (int)((byte*)&context.NativeTarget - start);
        TargetCode = (int)((byte*)&context.NativeTargetCode - start);
        Miss = (int)((byte*)&context.NativeMiss - start);
        MissRecord = (int)((byte*)&context.NativeMissRecord - start);
        Resume = (int)((byte*)&context.NativeResume - start);
        MissVectors = (int)(&context.NativeMissVectors - start);
        TlbSupervisor = (int)((byte*)&context.TlbSupervisor - start);
        TlbOverride = (int)((byte*)&context.TlbOverride - start);
        TlbUser = (int)((byte*)&context.TlbUser - start);
        JumpsSupervisor = (int)((byte*)&context.JumpsSupervisor - start);
        JumpsUser = (int)((byte*)&context.JumpsUser - start);
        EventHeld = (int)(&context.EventHeld - start);
        Switched = (int)(&context.NativeSwitched - start);
        Efer = (int)((byte*)&context.State.Efer - start);
        Star = (int)((byte*)&context.State.Star - start);
        Lstar = (int)((byte*)&context.State.Lstar - start);
        Fmask = (int)((byte*)&context.State.Fmask - start);
    }

    public static int Gpr { get; }

    public static int FsBase { get; }

    public static int GsBase { get; }

    public static int Rflags { get; }

    public static int KernelGsBase { get; }

    public static int Cr0 { get; }

    public static int Cr4 { get; }

    public static int Tlb { get; }

    public static int Jumps { get; }

    public static int Budget { get; }

    public static int ExitRequest { get; }

    public static int Flags { get; }

    public static int Link { get; }

    public static int Rip { get; }

    public static int Groups { get; }

    public static int Slots { get; }

    public static int Xcr0 { get; }

    public static int Mxcsr { get; }

    public static int Vectors { get; }

    public static int HostMxcsr { get; }

    public static int Target { get; }

    public static int TargetCode { get; }

    public static int Miss { get; }

    public static int MissRecord { get; }

    public static int Resume { get; }

    public static int MissVectors { get; }

    public static int TlbSupervisor { get; }

    public static int TlbOverride { get; }

    public static int TlbUser { get; }

    public static int JumpsSupervisor { get; }

    public static int JumpsUser { get; }

    public static int EventHeld { get; }

    public static int Switched { get; }

    public static int Efer { get; }

    public static int Star { get; }

    public static int Lstar { get; }

    public static int Fmask { get; }

    /// <summary>A segment's selector and, 2 bytes on, its attributes; its limit lies 4 bytes before.</summary>
    public static int Selector(Iced.Intel.Register segment) => Registers.SegmentOffset(segment) + SelectorOffset;

    private const int SelectorOffset = 12;
}
