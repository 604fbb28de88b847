using MessagePack;

namespace Godwit.Engine.Machine;

/// <summary>Where guest time comes from.</summary>
public enum ClockMode
{
    /// <summary>The host's monotonic clock.</summary>
    Host = 0,

    /// <summary>Retired instructions: the same run ends in the same state.</summary>
    InstructionCount = 1,
}

/// <summary>The named CPUID models of docs/engine.md.</summary>
public enum CpuLevel
{
    V1 = 1,
    V2 = 2,
    V3 = 3,
}

/// <summary>Everything that makes a machine what it is, fixed for its life. Keys are append-only.</summary>
[MessagePackObject]
public sealed record MachineSpec
{
    /// <summary>RAM in bytes; a multiple of 4096, at least 1 MiB.</summary>
    [Key(0)]
    public required ulong MemoryBytes { get; init; }

    [Key(1)]
    public required int VcpuCount { get; init; }

    [Key(2)]
    public required CpuLevel CpuLevel { get; init; }

    [Key(3)]
    public required ClockMode Clock { get; init; }

    /// <summary>TSC ticks a second.</summary>
    [Key(4)]
    public required ulong TscHz { get; init; }

    /// <summary>What the machine boots; images are named by what holds them (a path for a foreground VM, a content hash in a cluster).</summary>
    [Key(5)]
    public required BootSource Boot { get; init; }
}

/// <summary>How a machine starts.</summary>
public enum BootProtocol
{
    /// <summary>The built-in paravirtual guest; no images.</summary>
    Builtin = 0,

    /// <summary>A Linux bzImage with its 64-bit entry, optionally an initramfs.</summary>
    Linux = 1,

    /// <summary>A 32-bit ELF with a multiboot 1 header.</summary>
    Multiboot = 2,
}

/// <summary>The boot protocol, its images and the command line.</summary>
[MessagePackObject]
public sealed record BootSource
{
    [Key(0)]
    public required BootProtocol Protocol { get; init; }

    [Key(1)]
    public required string? Kernel { get; init; }

    [Key(2)]
    public required string? Initrd { get; init; }

    /// <summary>The kernel's command line, or the built-in guest's parameters (see docs/builtin-guest.md).</summary>
    [Key(3)]
    public required string CommandLine { get; init; }
}
