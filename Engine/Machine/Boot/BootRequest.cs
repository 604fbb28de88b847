using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>What to load, and how to name it in an error.</summary>
public sealed record BootRequest
{
    /// <summary>The kernel's bytes: untrusted.</summary>
    public required ReadOnlyMemory<byte> Kernel { get; init; }

    /// <summary>The kernel's name as a person knows it (its file name): the first word of its errors.</summary>
    public required string KernelName { get; init; }

    /// <summary>The initramfs or first module; empty where there is none.</summary>
    public ReadOnlyMemory<byte> Initrd { get; init; }

    /// <summary>The kernel's command line, without the kernel's own name.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>Where the ACPI root pointer lies; null where the machine has no ACPI tables.</summary>
    public GuestPhysicalAddress? AcpiRsdp { get; init; }
}
