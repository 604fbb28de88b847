using Godwit.Cli.Guest;
using Godwit.Engine.Machine;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>The stock kernel's file, as the boot loader reads it.</summary>
public sealed class BootImageTests
{
    [LinuxFact]
    public async Task StockKernelIsPlacedWhereItsHeaderWantsIt()
    {
        LinuxGuest images = await BootedLinux.ImagesAsync();
        byte[] kernel = await File.ReadAllBytesAsync(images.KernelPath);
        using GuestMemory memory = new(256 << 20);

        Assert.Equal(BootProtocol.Linux, BootImageFormat.Detect(kernel, "vmlinuz"));
        BootEntry entry = LinuxBootLoader.Load(memory, new BootRequest
        {
            Kernel = kernel,
            KernelName = "vmlinuz",
            Initrd = new byte[1 << 20],
            CommandLine = LinuxGuest.CommandLine,
            AcpiRsdp = new GuestPhysicalAddress(0xe_0000),
        });

        // The payload follows the setup sectors, of which byte 0x1f1 is the number; its 64-bit entry lies 0x200 bytes in.
        int payload = (kernel[0x1f1] + 1) * 512;
        byte[] code = new byte[4096];
        Assert.True(memory.TryRead(new GuestPhysicalAddress(entry.Rip - 0x200), code));
        Assert.Equal(kernel[payload..(payload + code.Length)], code);
    }

    [LinuxFact]
    public async Task StockKernelCutShortAnywhereIsRefusedInOneLine()
    {
        LinuxGuest images = await BootedLinux.ImagesAsync();
        byte[] kernel = await File.ReadAllBytesAsync(images.KernelPath);
        using GuestMemory memory = new(256 << 20);

        foreach (int length in (int[])[0, 511, 0x1f2, 0x260, 1024, (kernel[0x1f1] + 1) * 512, kernel.Length / 2, kernel.Length - 4096])
        {
            BootException refused = Assert.Throws<BootException>(() => LinuxBootLoader.Load(memory, new BootRequest
            {
                Kernel = kernel.AsMemory(0, length),
                KernelName = "vmlinuz",
                Initrd = default,
                CommandLine = "",
                AcpiRsdp = new GuestPhysicalAddress(0xe_0000),
            }));
            Assert.DoesNotContain('\n', refused.Message);
        }
    }
}
