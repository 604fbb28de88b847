namespace Godwit.Grains.Interfaces.Vms;

/// <summary>How a VM starts.</summary>
public enum VmBoot
{
    /// <summary>The built-in paravirtual guest; no images.</summary>
    Builtin = 0,

    /// <summary>A Linux bzImage, optionally with an initramfs.</summary>
    Linux = 1,

    /// <summary>A multiboot 1 ELF image.</summary>
    Multiboot = 2,
}

/// <summary>Where guest time comes from.</summary>
public enum VmClock
{
    Host = 0,
    InstructionCount = 1,
}

/// <summary>Everything that makes a VM what it is; fixed when it is created.</summary>
[GenerateSerializer, Alias("Godwit.VmDefinition"), Immutable]
public sealed record VmDefinition
{
    /// <summary>RAM in bytes; a multiple of 4096, at least 1 MiB.</summary>
    [Id(0)]
    public required long MemoryBytes { get; init; }

    [Id(1)]
    public int VcpuCount { get; init; } = 1;

    /// <summary>CPUID level: 1 to 3 for x86-64-v1 to v3.</summary>
    [Id(2)]
    public int CpuLevel { get; init; } = 2;

    [Id(3)]
    public VmClock Clock { get; init; }

    [Id(4)]
    public VmBoot Boot { get; init; }

    /// <summary>SHA-256 of the kernel image as lower-case hex; null for the built-in guest.</summary>
    [Id(5)]
    public string? Kernel { get; init; }

    /// <summary>SHA-256 of the initramfs as lower-case hex, or null.</summary>
    [Id(6)]
    public string? Initrd { get; init; }

    /// <summary>The kernel's command line or the built-in guest's parameters; at most 2047 characters.</summary>
    [Id(7)]
    public string CommandLine { get; init; } = "";

    /// <summary>Where it may run; null: anywhere.</summary>
    [Id(8)]
    public PlacementConstraints? Constraints { get; init; }

    /// <summary>What becomes of it when its silo is lost; null: nothing. The one part that can be changed later.</summary>
    [Id(9)]
    public RestartPolicy? Restart { get; init; }
}
