using System.Buffers.Binary;

namespace Godwit.Engine.Machine.Boot;

/// <summary>
/// The setup header of a bzImage, checked for the 64-bit boot protocol. Offsets and bits are those of Linux's
/// Documentation/arch/x86/boot.rst ("The Real-Mode Kernel Header").
/// </summary>
internal sealed record LinuxSetupHeader
{
    /// <summary>Where the header starts, in the file and in boot_params alike.</summary>
    public const int Start = 0x1f1;

    /// <summary>"HdrS", little-endian.</summary>
    private const uint Signature = 0x5372_6448;

    /// <summary>The oldest version with xloadflags: Linux 3.8.</summary>
    private const ushort OldestVersion = 0x020c;

    /// <summary>The version that gave boot_params.acpi_rsdp_addr.</summary>
    private const ushort AcpiRsdpVersion = 0x020e;

    private const byte LoadedHigh = 1;
    private const ushort XLF_KERNEL_64 = 1;

    /// <summary>One past init_size, the last field that is read here.</summary>
    private const int NeededEnd = 0x264;

    /// <summary>edd_mbr_sig_buffer, the field of boot_params behind the space for the header.</summary>
    private const int HighestEnd = 0x290;

    /// <summary>Entry of the 64-bit protocol, from the start of the protected-mode part.</summary>
    public const ulong Entry64 = 0x200;

    /// <summary>The header's bytes, to be copied to boot_params at <see cref="Start"/>.</summary>
    public required ReadOnlyMemory<byte> Raw { get; init; }

    /// <summary>The protected-mode part: what is loaded.</summary>
    public required ReadOnlyMemory<byte> Payload { get; init; }

    public required ushort Version { get; init; }

    /// <summary>Where the kernel would like to be, and runs in any case if it is loaded lower.</summary>
    public required ulong PreferredAddress { get; init; }

    /// <summary>Bytes of linear memory from the load address that the kernel uses before it reads the memory map.</summary>
    public required ulong InitSize { get; init; }

    /// <summary>Highest address that a byte of the initramfs may have.</summary>
    public required uint InitrdAddressMax { get; init; }

    /// <summary>Most bytes of the command line without its NUL.</summary>
    public required uint CommandLineSize { get; init; }

    /// <summary>Whether the kernel reads the ACPI root pointer's place from boot_params; otherwise it searches the BIOS area.</summary>
    public bool TakesAcpiRsdp => Version >= AcpiRsdpVersion;

    /// <summary>Whether a file claims to be a Linux kernel of any kind.</summary>
    public static bool IsPresent(ReadOnlySpan<byte> file) =>
        file.Length >= 0x206 && BinaryPrimitives.ReadUInt32LittleEndian(file[0x202..]) == Signature;

    /// <summary>Reads and checks a header; throws <see cref="BootException"/> with the first thing that is wrong.</summary>
    public static LinuxSetupHeader Parse(ReadOnlyMemory<byte> image, string name)
    {
        ReadOnlySpan<byte> file = image.Span;
        if (!IsPresent(file))
            throw new BootException(name, "is not a bzImage: no HdrS signature at offset 0x202");
        ushort version = file.Length >= 0x208 ? BinaryPrimitives.ReadUInt16LittleEndian(file[0x206..]) : (ushort)0;
        if (version < OldestVersion)
            throw new BootException(name, $"speaks boot protocol {version >> 8}.{version & 0xff:d2}, older than 2.12: it has no 64-bit entry");
        int end = 0x202 + file[0x201];
        if (end is < NeededEnd or > HighestEnd)
            throw new BootException(name, $"has a damaged setup header: it ends at 0x{end:x}, not between 0x{NeededEnd:x} and 0x{HighestEnd:x}");
        int sectors = file[0x1f1] == 0 ? 4 : file[0x1f1];
        int payloadStart = (sectors + 1) * 512;
        if (end > file.Length || payloadStart >= file.Length)
            throw new BootException(name, $"is cut short: {file.Length} bytes, and its setup part alone takes {payloadStart}");
        if ((file[0x211] & LoadedHigh) == 0)
            throw new BootException(name, "is a zImage: only kernels that are loaded high can be booted");
        if ((BinaryPrimitives.ReadUInt16LittleEndian(file[0x236..]) & XLF_KERNEL_64) == 0)
            throw new BootException(name, "is not a 64-bit kernel: XLF_KERNEL_64 is clear in its xloadflags");
        return new LinuxSetupHeader
        {
            Raw = image[Start..end],
            Payload = ReadPayload(image, name, payloadStart),
            Version = version,
            PreferredAddress = BinaryPrimitives.ReadUInt64LittleEndian(file[0x258..]),
            InitSize = BinaryPrimitives.ReadUInt32LittleEndian(file[0x260..]),
            InitrdAddressMax = BinaryPrimitives.ReadUInt32LittleEndian(file[0x22c..]),
            CommandLineSize = BinaryPrimitives.ReadUInt32LittleEndian(file[0x238..]),
        }.Checked(name);
    }

    /// <summary>syssize counts 16-byte paragraphs; what follows them (a Secure Boot signature) is not the kernel's.</summary>
    private static ReadOnlyMemory<byte> ReadPayload(ReadOnlyMemory<byte> image, string name, int start)
    {
        ulong bytes = (ulong)BinaryPrimitives.ReadUInt32LittleEndian(image.Span[0x1f4..]) * 16;
        int there = image.Length - start;
        if (bytes <= Entry64)
            throw new BootException(name, $"has a damaged setup header: its protected-mode part of {bytes} bytes does not reach its 64-bit entry");
        // The last paragraph need not be full.
        if (bytes >= (ulong)there + 16)
            throw new BootException(name, $"is cut short: its setup header promises {bytes} bytes of kernel and {there} are there");
        return image.Slice(start, (int)Math.Min(bytes, (ulong)there));
    }

    private LinuxSetupHeader Checked(string name)
    {
        if (InitSize < (ulong)Payload.Length)
            throw new BootException(name, $"has a damaged setup header: init_size 0x{InitSize:x} is less than the kernel's 0x{Payload.Length:x} bytes");
        if (PreferredAddress < PhysicalMemoryMap.HighMemory || PreferredAddress % 4096 != 0)
            throw new BootException(name, $"has a damaged setup header: pref_address 0x{PreferredAddress:x} is not a page at or above 1 MiB");
        return this;
    }
}
