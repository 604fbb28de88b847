using Godwit.Cli.Guest;
using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>The stock kernel with two vCPUs, each on a thread of its own.</summary>
public sealed class SeveralVcpusTests
{
    // Four at once: what they print is the same four times. Pipes, signals and exits go between the vCPUs.
    private const string Work = "w() { seq 1 3000|sort|gzip|gunzip|md5sum; }";
    private const string InParallel = "for i in 1 2 3 4; do w & done; wait";

    [LinuxFact]
    public async Task BothVcpusWorkAndGoOnTogetherAfterAMove()
    {
        GuestSession here = await BootAsync();
        await here.ReadToAsync(GuestSession.Prompt);
        Assert.Equal("2\n", await here.RunAsync("nproc"));
        await here.RunAsync(Work);
        string sum = (await here.RunAsync("w")).Trim();
        await CheckAsync(here, sum);

        long[] before = await InterruptsAsync(here);
        here = await GuestMove.MoveAsync(here);
        await CheckAsync(here, sum);
        long[] after = await InterruptsAsync(here);
        Assert.All(before.Zip(after), counts => Assert.True(counts.Second > counts.First, $"a vCPU stands still: {counts}"));

        await here.TypeAsync("poweroff -f\n");
        MachineStatus end = await here.ReadToEndAsync();
        Assert.Equal("the guest powered off", end.EndReason);
        await here.DisposeAsync();
    }

    [LinuxFact]
    public async Task AVcpuThatIsSwitchedOffComesBack()
    {
        await using GuestSession guest = await BootAsync();
        await guest.ReadToAsync(GuestSession.Prompt);
        await guest.RunAsync("C=/sys/devices/system/cpu/cpu1/online");
        await guest.RunAsync("echo 0 > $C");
        Assert.Equal("1\n", await guest.RunAsync("nproc"));
        await guest.RunAsync("echo 1 > $C");
        Assert.Equal("2\n", await guest.RunAsync("nproc"));
        Assert.Equal("works\n", await guest.RunAsync("taskset 2 echo works"));
    }

    private static async Task<GuestSession> BootAsync()
    {
        LinuxGuest guest = await BootedLinux.ImagesAsync();
        BootImages images = new(await File.ReadAllBytesAsync(guest.KernelPath), await File.ReadAllBytesAsync(guest.InitrdPath));
        MachineSpec spec = MachineSpecs.Create(
            BootedLinux.MemoryBytes, 2, ClockMode.Host, Path.GetFileName(guest.KernelPath), images.Kernel, Path.GetFileName(guest.InitrdPath), LinuxGuest.CommandLine);
        return await (await GuestSession.BootAsync(spec, images)).StartAsync();
    }

    private static async Task CheckAsync(GuestSession guest, string sum)
    {
        string printed = await guest.RunAsync(InParallel);
        Assert.Equal(4, printed.Split('\n').Count(line => line.StartsWith(sum, StringComparison.Ordinal)));
    }

    /// <summary>Local timer interrupts of each vCPU.</summary>
    private static async Task<long[]> InterruptsAsync(GuestSession guest)
    {
        string[] fields = (await guest.RunAsync("grep LOC /proc/interrupts")).Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return [long.Parse(fields[1], null), long.Parse(fields[2], null)];
    }
}
