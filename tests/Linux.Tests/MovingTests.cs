using Godwit.Engine.Machine;
using Godwit.Linux.Tests.Facts;
using Godwit.Linux.Tests.Guests;
using Xunit;

namespace Godwit.Linux.Tests;

/// <summary>The guest goes on elsewhere while its self-checking workload runs.</summary>
public sealed class MovingTests
{
    private const string StartWorkload = "workload 4 400\n";

    [LinuxFact]
    public async Task SnapshotOfARunningGuestGoesOnElsewhere()
    {
        await using GuestSession original = await BootedLinux.StartAsync();
        await original.TypeAsync(StartWorkload);
        await WorkloadLog.ReadTicksAsync(original, 5);
        long start = original.Offset - original.Text.Length;

        using MemoryStream snapshot = new();
        await original.Machine.SnapshotAsync(snapshot, default);
        // It runs on where it was, too.
        await WorkloadLog.ReadTicksAsync(original, 5);
        WorkloadLog.Check(original.Text);
        await original.Machine.StopAsync(default);

        MachineActor machine = new("elsewhere");
        snapshot.Position = 0;
        await machine.RestoreAsync(snapshot, default);
        await using GuestSession restored = await GuestSession.Of(machine, start).StartAsync();
        long ticks = WorkloadLog.Check(original.Text);
        while (await WorkloadLog.ReadTicksAsync(restored, 5) < ticks + 5)
        {
        }
        // Read from before the snapshot: what the console held there has come along.
        WorkloadLog.Check(restored.Text);
    }

    [LinuxFact]
    public async Task GuestMovesThereAndBackWhileItWorks()
    {
        GuestSession here = await BootedLinux.StartAsync();
        await here.TypeAsync(StartWorkload);
        await WorkloadLog.ReadTicksAsync(here, 5);
        for (int move = 0; move < 2; move++)
        {
            here = await GuestMove.MoveAsync(here);
            // From the first move on: no line is lost or doubled on the way.
            await WorkloadLog.ReadTicksAsync(here, 5);
        }
        await here.TypeAsync("\x03");
        await here.ReadToAsync(GuestSession.Prompt);
        Assert.Equal("130\n", await here.RunAsync("echo $?"));
        await here.DisposeAsync();
    }

    [LinuxFact]
    public async Task ProgramsCalculateRightWhileTheirMachineMoves()
    {
        Task<string> expected = ArithmeticScript.RunOnHostAsync();
        GuestSession here = await BootedLinux.StartAsync();
        await here.TypeAsync($"{ArithmeticScript.Command}\n");
        await here.ReadToAsync($"{ArithmeticScript.Command}\r\n");
        string printed = "";
        // In the middle of a checksum, of packing, and twice of floating point.
        foreach (int lines in (int[])[2, 4, 12, 40])
        {
            for (int line = 0; line < lines; line++)
                printed += await here.ReadToAsync("\r\n");
            here = await GuestMove.MoveAsync(here);
        }
        await using (here)
            Assert.Equal(await expected, printed.Replace("\r\n", "\n", StringComparison.Ordinal) + await here.ReadOutputAsync());
    }
}
