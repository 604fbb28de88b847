using Godwit.Engine.Cpu;
using Godwit.Engine.Devices;
using Xunit;

namespace Godwit.Engine.Tests.Cpu;

public sealed unsafe class LinearMemoryTests
{
    private const ulong Mmio = 0xfeb0_0000;

    private sealed class Recorder : IMmioDevice
    {
        public List<(ulong Offset, int Size, ulong Value)> Writes { get; } = [];

        public List<(ulong Offset, int Size)> Reads { get; } = [];

        public ulong ReadMmio(ulong offset, int size)
        {
            Reads.Add((offset, size));
            return 0x1122_3344_5566_7788 & (ulong.MaxValue >> (64 - size * 8));
        }

        public void WriteMmio(ulong offset, int size, ulong value) => Writes.Add((offset, size, value));
    }

    /// <summary>Long mode with 4 KiB pages 0x40_0000 and 0x40_1000 to distinct frames; the second may be missing.</summary>
    private static CpuBench TwoPages(bool second)
    {
        CpuBench bench = new();
        bench.EnterLong();
        bench.Write(CpuBench.Tables + 0x2000 + 2 * 8, CpuBench.Tables + 0x3000 | 7);
        bench.Write(CpuBench.Tables + 0x3000, 0x20_0000ul | 7);
        bench.Write(CpuBench.Tables + 0x3008, second ? 0x30_0000ul | 7 : 0);
        return bench;
    }

    [Fact]
    public void AValueThatCrossesPagesGoesToBoth()
    {
        using CpuBench bench = TwoPages(second: true);
        Assert.True(LinearMemory.Write(bench.C, 0x40_0ffd, false, 0x1122_3344_5566_7788ul));
        Assert.Equal(0x88, bench.Read<byte>(0x20_0ffd));
        Assert.Equal(0x66, bench.Read<byte>(0x20_0fff));
        Assert.Equal(0x55, bench.Read<byte>(0x30_0000));
        Assert.True(LinearMemory.Read(bench.C, 0x40_0ffd, false, out ulong back));
        Assert.Equal(0x1122_3344_5566_7788ul, back);
    }

    [Fact]
    public void AWriteWhoseSecondPageFaultsStoresNothing()
    {
        using CpuBench bench = TwoPages(second: false);
        Assert.False(LinearMemory.Write(bench.C, 0x40_0ffd, true, ulong.MaxValue));
        Assert.Equal(0x40_1000ul, bench.Fault.Address);
        Assert.Equal(6u, bench.Fault.ErrorCode);
        Assert.Equal(0, bench.Read<byte>(0x20_0ffd));
    }

    [Fact]
    public void DeviceAccessesKeepTheirSizeAndLongerOnesAreSplit()
    {
        using CpuBench bench = new();
        Recorder device = new();
        bench.Bus.MapMmio(Mmio, 0x1000, device, "recorder");
        bench.EnterProtected();
        Assert.True(LinearMemory.Write(bench.C, Mmio + 4, false, 0xaabb_ccddu));
        Assert.True(LinearMemory.Write(bench.C, Mmio + 8, false, (ushort)0x1234));
        Assert.True(LinearMemory.Write(bench.C, Mmio + 16, false, (UInt128)5 << 64 | 6));
        Assert.Equal([(4ul, 4, 0xaabb_ccddul), (8, 2, 0x1234), (16, 8, 6), (24, 8, 5)], device.Writes);
        Assert.True(LinearMemory.Read(bench.C, Mmio, false, out ulong value));
        Assert.Equal(0x1122_3344_5566_7788ul, value);
        Span<byte> ten = stackalloc byte[10];
        Assert.True(LinearMemory.Read(bench.C, Mmio + 32, false, ten));
        Assert.Equal([(0ul, 8), (32, 8), (40, 2)], device.Reads);
    }

    [Fact]
    public void OutsideOfLongModeAddressesWrapAtFourGiB()
    {
        using CpuBench bench = new();
        bench.EnterProtected();
        bench.Write(0x10, 0xdead_beefu);
        Assert.True(LinearMemory.Read(bench.C, 0x1_0000_0010, false, out uint value));
        Assert.Equal(0xdead_beefu, value);
    }

    [Fact]
    public void AStoreToACodePageIsReportedAfterItIsMade()
    {
        using CpuBench bench = new();
        RecordingCaches caches = new();
        bench.Vcpu.Code = caches;
        caches.CodePages.Add(5);
        bench.EnterProtected();
        Assert.True(LinearMemory.Write(bench.C, 0x5010, false, 7u));
        Assert.True(LinearMemory.Write(bench.C, 0x6010, false, 7u));
        Assert.Equal((0x5010ul, 4), Assert.Single(caches.Writes));
    }
}
