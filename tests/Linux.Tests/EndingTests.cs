using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>How a Linux guest ends its machine.</summary>
public sealed class EndingTests
{
    [LinuxFact]
    public async Task PowerOffEndsWithExitCodeZero()
    {
        MachineStatus status = await EndByAsync("poweroff -f");

        Assert.Equal(0, status.ExitCode);
        Assert.Equal("the guest powered off", status.EndReason);
    }

    [LinuxFact]
    public async Task LeavingTheShellPowersOff()
    {
        Assert.Equal(0, (await EndByAsync("exit")).ExitCode);
    }

    [LinuxFact]
    public async Task ResetBySystemRequestEndsWithAReason()
    {
        MachineStatus status = await EndByAsync("echo b > /proc/sysrq-trigger");

        Assert.Null(status.ExitCode);
        Assert.Equal("the guest reset its machine", status.EndReason);
    }

    [LinuxFact]
    public async Task PanicEndsInAReset()
    {
        MachineStatus status = await EndByAsync("echo c > /proc/sysrq-trigger");

        Assert.Null(status.ExitCode);
        Assert.Equal("the guest reset its machine", status.EndReason);
    }

    private static async Task<MachineStatus> EndByAsync(string command)
    {
        await using GuestSession guest = await BootedLinux.StartAsync();
        await guest.TypeAsync($"{command}\n");
        MachineStatus status = await guest.ReadToEndAsync();
        Assert.Equal(MachinePhase.Ended, status.Phase);
        return status;
    }
}
