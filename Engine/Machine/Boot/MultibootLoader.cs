using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>
/// Loads multiboot 1 images: 32-bit ELF, or any file whose header gives its addresses (Multiboot Specification 0.6.96).
/// Entry state: 3.2; the information structure: 3.3. Every input is untrusted.
/// </summary>
public static class MultibootLoader
{
    /// <summary>EAX at entry.</summary>
    private const ulong BootloaderMagic = 0x2bad_b002;

    /// <summary>Loads the image into fresh RAM and says how to enter it.</summary>
    public static BootEntry Load(GuestMemory memory, BootRequest request)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(request);
        MultibootHeader header = MultibootHeader.Parse(request.Kernel.Span, request.KernelName);
        ImagePlacer placer = new(memory, request.KernelName);
        ElfImage image = header.Addresses is { } addresses
            ? new ElfImage(addresses.Entry, [new ElfSegment(addresses.LoadAddress, request.Kernel.Slice(addresses.FileOffset, addresses.FileBytes), addresses.MemoryBytes)])
            : ElfImage.Parse(request.Kernel, request.KernelName);
        foreach (ElfSegment segment in image.Segments)
            placer.Place("a segment", new GuestPhysicalAddress(segment.Address), segment.Bytes.Span, segment.MemorySize);
        if (!image.Segments.Any(s => image.Entry >= s.Address && image.Entry - s.Address < s.MemorySize))
            throw new BootException(request.KernelName, $"cannot be started: its entry 0x{image.Entry:x} is in no loaded segment");

        MultibootInformation information = new(request.KernelName, request.CommandLine, memory.Size);
        if (!request.Initrd.IsEmpty)
        {
            ulong start = (placer.HighestEnd + PageNumber.Size - 1) & ~(ulong)(PageNumber.Size - 1);
            placer.Place("the module", new GuestPhysicalAddress(start), request.Initrd.Span);
            information.AddModule((uint)start, (uint)request.Initrd.Length);
        }

        placer.Place("multiboot information", LowMemory.MultibootInfo, information.Encode());
        placer.Place("descriptor table", LowMemory.Gdt, BootDescriptors.Table(BootDescriptors.Code32));
        return new BootEntry
        {
            Mode = BootMode.Protected32,
            Rip = image.Entry,
            Rax = BootloaderMagic,
            Rbx = LowMemory.MultibootInfo.Value,
            Cr0 = BootDescriptors.Cr0Protected,
            Gdt = LowMemory.Gdt,
            GdtLimit = BootDescriptors.Bytes - 1,
            CodeSelector = BootDescriptors.CodeSelector,
            CodeDescriptor = BootDescriptors.Code32,
            DataSelector = BootDescriptors.DataSelector,
            DataDescriptor = BootDescriptors.Data,
        };
    }
}
