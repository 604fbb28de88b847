using Godwit.Engine.Machine;
using Godwit.Engine.Machine.Boot;
using Godwit.Engine.Memory;
using Xunit;
using static Godwit.Engine.Tests.Boot.SyntheticKernel;

namespace Godwit.Engine.Tests.Boot;

public sealed class DebianKernelTests
{
    [DebianKernelFact]
    public void StockKernelLoadsIntoQuarterGib()
    {
        byte[] kernel = File.ReadAllBytes(DebianKernelFactAttribute.Kernel!);
        using GuestMemory memory = new(256 << 20);

        Assert.Equal(BootProtocol.Linux, BootImageFormat.Detect(kernel, "vmlinuz"));
        BootEntry entry = LinuxBootLoader.Load(memory, Request(kernel, new byte[1 << 20], "console=ttyS0"));

        int payload = (kernel[0x1f1] + 1) * 512;
        byte[] code = new byte[4096];
        Assert.True(memory.TryRead(new GuestPhysicalAddress(entry.Rip - 0x200), code));
        Assert.Equal(kernel[payload..(payload + 4096)], code);
    }
}
