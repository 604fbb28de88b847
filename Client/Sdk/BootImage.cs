using System.Buffers.Binary;
using Godwit.Grains.Interfaces;
using Godwit.Grains.Interfaces.Vms;

namespace Godwit.Client;

/// <summary>Tells what kind of kernel a file is, by its own marks.</summary>
public static class BootImage
{
    /// <summary>"HdrS" at 0x202: Linux boot protocol 2.00 and later (Documentation/arch/x86/boot.rst).</summary>
    private const uint LinuxMagic = 0x53726448;
    private const int LinuxMagicOffset = 0x202;

    /// <summary>Multiboot 1 header magic, 4-byte aligned in the first 8192 bytes (Multiboot specification 0.6.96, 3.1).</summary>
    private const uint MultibootMagic = 0x1BADB002;
    private const int MultibootSearch = 8192;

    private const uint ElfMagic = 0x464C457F;

    /// <summary>The boot protocol of a kernel image; throws <see cref="GodwitException"/> for what is not one.</summary>
    public static VmBoot Detect(string name, ReadOnlySpan<byte> image)
    {
        if (image.Length >= LinuxMagicOffset + 4 && BinaryPrimitives.ReadUInt32LittleEndian(image[LinuxMagicOffset..]) == LinuxMagic)
        {
            return VmBoot.Linux;
        }

        if (image.Length >= 4 && BinaryPrimitives.ReadUInt32LittleEndian(image) == ElfMagic && HasMultibootHeader(image))
        {
            return VmBoot.Multiboot;
        }

        throw new GodwitException(ClusterError.Invalid, $"{name} is not a kernel: neither a Linux bzImage nor an ELF image with a multiboot 1 header.");
    }

    private static bool HasMultibootHeader(ReadOnlySpan<byte> image)
    {
        for (var at = 0; at + 12 <= Math.Min(image.Length, MultibootSearch); at += 4)
        {
            if (BinaryPrimitives.ReadUInt32LittleEndian(image[at..]) == MultibootMagic
                && BinaryPrimitives.ReadUInt32LittleEndian(image[at..]) + BinaryPrimitives.ReadUInt32LittleEndian(image[(at + 4)..]) + BinaryPrimitives.ReadUInt32LittleEndian(image[(at + 8)..]) == 0)
            {
                return true;
            }
        }

        return false;
    }
}
