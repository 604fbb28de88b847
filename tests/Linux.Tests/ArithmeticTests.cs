using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>User space's arithmetic, against the host's processor: the same static program runs on both.</summary>
public sealed class ArithmeticTests
{
    [LinuxFact]
    public async Task BusyboxCalculatesInTheGuestAsOnTheHost()
    {
        Task<string> expected = ArithmeticScript.RunOnHostAsync();
        await using GuestSession guest = await (await BootedLinux.RestoreAsync(ClockMode.InstructionCount)).StartAsync();

        string actual = await guest.RunAsync(ArithmeticScript.Command);

        Assert.Equal(await expected, actual);
        Assert.True(actual.Split('\n').Length > 130, actual);
    }
}
