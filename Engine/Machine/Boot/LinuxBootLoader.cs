using System.Buffers.Binary;
using System.Text;
using Godwit.Engine.Memory;

namespace Godwit.Engine.Machine.Boot;

/// <summary>
/// Loads a Linux bzImage by the 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"):
/// the kernel at its preferred address, the initramfs as high as it may lie, boot_params with a memory map, and identity
/// page tables. Every input is untrusted; <see cref="BootException"/> says in one line what is wrong.
/// </summary>
public static class LinuxBootLoader
{
    // Fields of boot_params (Linux, Documentation/arch/x86/zero-page.rst and struct boot_params).
    private const int AcpiRsdpAddress = 0x070;
    private const int E820Entries = 0x1e8;
    private const int VideoMode = 0x1fa;
    private const int LoaderType = 0x210;
    private const int Code32Start = 0x214;
    private const int RamdiskImage = 0x218;
    private const int RamdiskSize = 0x21c;
    private const int CommandLinePointer = 0x228;
    private const int E820Table = 0x2d0;
    private const int E820EntryBytes = 20;

    /// <summary>"Normal": whatever mode there is.</summary>
    private const ushort VideoModeNormal = 0xffff;

    /// <summary>A loader without an assigned number.</summary>
    private const byte UndefinedLoader = 0xff;

    /// <summary>Loads the image into fresh RAM and says how to enter it.</summary>
    public static BootEntry Load(GuestMemory memory, BootRequest request)
    {
        ArgumentNullException.ThrowIfNull(memory);
        ArgumentNullException.ThrowIfNull(request);
        LinuxSetupHeader header = LinuxSetupHeader.Parse(request.Kernel, request.KernelName);
        byte[] commandLine = EncodeCommandLine(request, header);
        ulong top = PhysicalMemoryMap.TopOfLowRam(memory.Size);
        if (header.PreferredAddress > top || header.InitSize > top - header.PreferredAddress)
            throw new BootException(request.KernelName, $"needs memory up to 0x{header.PreferredAddress:x} + 0x{header.InitSize:x} to start, and the machine's ends at 0x{top:x}: give it more memory");

        ImagePlacer placer = new(memory, request.KernelName);
        GuestPhysicalAddress kernel = new(header.PreferredAddress);
        placer.Place("kernel", kernel, header.Payload.Span, header.InitSize);
        GuestPhysicalAddress initrd = PlaceInitrd(placer, request, header, top);
        placer.Place("command line", LowMemory.CommandLine, commandLine);
        placer.Place("boot parameters", LowMemory.BootParams, BuildBootParams(memory, request, header, initrd));
        placer.Place("page tables", LowMemory.PageTables, IdentityPageTables.Build(LowMemory.PageTables));
        placer.Place("descriptor table", LowMemory.Gdt, BootDescriptors.Table(BootDescriptors.Code64));

        return new BootEntry
        {
            Mode = BootMode.LongMode64,
            Rip = kernel.Value + LinuxSetupHeader.Entry64,
            Rsp = LowMemory.StackTop,
            Rsi = LowMemory.BootParams.Value,
            Cr0 = BootDescriptors.Cr0Protected | BootDescriptors.Cr0Paging,
            Cr3 = LowMemory.PageTables.Value,
            Cr4 = BootDescriptors.Cr4Pae,
            Efer = BootDescriptors.EferLongMode,
            Gdt = LowMemory.Gdt,
            GdtLimit = BootDescriptors.Bytes - 1,
            CodeSelector = BootDescriptors.CodeSelector,
            CodeDescriptor = BootDescriptors.Code64,
            DataSelector = BootDescriptors.DataSelector,
            DataDescriptor = BootDescriptors.Data,
        };
    }

    private static byte[] EncodeCommandLine(BootRequest request, LinuxSetupHeader header)
    {
        uint most = Math.Min(header.CommandLineSize, LowMemory.MaxCommandLineBytes - 1);
        if (request.CommandLine.Contains('\0'))
            throw new BootException("the kernel command line contains a NUL character");
        int bytes = Encoding.UTF8.GetByteCount(request.CommandLine);
        if ((uint)bytes > most)
            throw new BootException($"the kernel command line has {bytes} bytes and {request.KernelName} takes at most {most}");
        byte[] encoded = new byte[bytes + 1];
        _ = Encoding.UTF8.GetBytes(request.CommandLine, encoded);
        return encoded;
    }

    /// <summary>As high as allowed, page aligned, above all that the kernel uses before it knows the memory map.</summary>
    private static GuestPhysicalAddress PlaceInitrd(ImagePlacer placer, BootRequest request, LinuxSetupHeader header, ulong top)
    {
        if (request.Initrd.IsEmpty)
            return default;
        ulong size = (ulong)request.Initrd.Length;
        ulong limit = Math.Min(top, (ulong)header.InitrdAddressMax + 1);
        ulong floor = header.PreferredAddress + header.InitSize;
        ulong start = limit >= size ? (limit - size) & ~(ulong)(PageNumber.Size - 1) : 0;
        if (start < floor)
            throw new BootException($"the initramfs of {size} bytes does not fit between 0x{floor:x}, where {request.KernelName} ends, and 0x{limit:x}: give the machine more memory");
        GuestPhysicalAddress address = new(start);
        placer.Place("initramfs", address, request.Initrd.Span);
        return address;
    }

    private static byte[] BuildBootParams(GuestMemory memory, BootRequest request, LinuxSetupHeader header, GuestPhysicalAddress initrd)
    {
        byte[] page = new byte[PageNumber.Size];
        header.Raw.Span.CopyTo(page.AsSpan(LinuxSetupHeader.Start));
        BinaryPrimitives.WriteUInt16LittleEndian(page.AsSpan(VideoMode), VideoModeNormal);
        page[LoaderType] = UndefinedLoader;
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(Code32Start), (uint)header.PreferredAddress);
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(RamdiskImage), (uint)initrd.Value);
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(RamdiskSize), (uint)request.Initrd.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(CommandLinePointer), (uint)LowMemory.CommandLine.Value);
        if (request.AcpiRsdp is { } rsdp && header.TakesAcpiRsdp)
            BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(AcpiRsdpAddress), rsdp.Value);

        int entry = E820Table;
        foreach (MemoryRange range in PhysicalMemoryMap.Build(memory.Size))
        {
            BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(entry), range.Start);
            BinaryPrimitives.WriteUInt64LittleEndian(page.AsSpan(entry + 8), range.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(entry + 16), (uint)range.Kind);
            entry += E820EntryBytes;
            page[E820Entries]++;
        }

        return page;
    }
}
