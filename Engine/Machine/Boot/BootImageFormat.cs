namespace Godwit.Engine.Machine.Boot;

/// <summary>Tells what a kernel file is from its bytes.</summary>
public static class BootImageFormat
{
    /// <summary>
    /// The protocol that loads the file: <see cref="BootProtocol.Linux"/> or <see cref="BootProtocol.Multiboot"/>; throws
    /// <see cref="BootException"/> where it is neither. The loader checks the rest.
    /// </summary>
    public static BootProtocol Detect(ReadOnlySpan<byte> kernel, string name)
    {
        if (kernel.IsEmpty)
            throw new BootException(name, "is empty, not a kernel");
        if (LinuxSetupHeader.IsPresent(kernel))
            return BootProtocol.Linux;
        if (MultibootHeader.IsPresent(kernel))
            return BootProtocol.Multiboot;
        throw new BootException(name, "is not a bzImage (no HdrS signature at offset 0x202) and not a multiboot image (no header in its first 8 KiB)");
    }
}
