using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>A 32-bit program under the 64-bit kernel.</summary>
public sealed class NarrowProgramTests
{
    [LinuxFact]
    public async Task A32BitProgramCalculatesInTheGuestWhatItShould()
    {
        await using GuestSession guest = await (await BootedLinux.RestoreAsync(ClockMode.InstructionCount)).StartAsync();

        string printed = await guest.RunAsync("/" + NarrowProgram.Path);

        Assert.Equal(NarrowProgram.Expected() + "\n", printed);
    }
}
