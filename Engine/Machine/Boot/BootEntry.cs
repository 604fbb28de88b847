using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>The processor mode in which a loaded image expects to be entered.</summary>
public enum BootMode
{
    /// <summary>Protected mode, flat 4 GiB segments, paging off.</summary>
    Protected32,

    /// <summary>64-bit mode over identity-mapped page tables.</summary>
    LongMode64,
}

/// <summary>
/// The boot processor's state at the first instruction of a loaded image. What is not named here is as after RESET:
/// other general registers 0, RFLAGS 0x2 (interrupts off), IDTR empty, LDTR and TR null.
/// </summary>
public sealed record BootEntry
{
    public required BootMode Mode { get; init; }

    public required ulong Rip { get; init; }

    /// <summary>A small stack below the boot structures, or 0 where the protocol promises none.</summary>
    public ulong Rsp { get; init; }

    public ulong Rax { get; init; }

    public ulong Rbx { get; init; }

    public ulong Rsi { get; init; }

    public required ulong Cr0 { get; init; }

    public ulong Cr3 { get; init; }

    public ulong Cr4 { get; init; }

    public ulong Efer { get; init; }

    /// <summary>The descriptor table in guest memory; its limit is <see cref="GdtLimit"/>.</summary>
    public required GuestPhysicalAddress Gdt { get; init; }

    /// <summary>Size of the table in bytes, less one.</summary>
    public required ushort GdtLimit { get; init; }

    /// <summary>CS.</summary>
    public required ushort CodeSelector { get; init; }

    /// <summary>The descriptor behind <see cref="CodeSelector"/>, as it stands in the table.</summary>
    public required ulong CodeDescriptor { get; init; }

    /// <summary>DS, ES, FS, GS and SS.</summary>
    public required ushort DataSelector { get; init; }

    /// <summary>The descriptor behind <see cref="DataSelector"/>, as it stands in the table.</summary>
    public required ulong DataDescriptor { get; init; }
}
